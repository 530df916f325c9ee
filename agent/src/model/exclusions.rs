//! Which bypasses are meant to be, and how many there were.

use super::boundary::PairEnd;
use crate::{identity::Duty, points::Exclusion};

/// Why a connection that passed by a point is not counted as a bypass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The configuration excludes it.
    Configured,
    /// Its caller collects metrics.
    Scraper,
    /// Its caller is a part of a mesh's control plane.
    ControlPlane,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Configured, Self::Scraper, Self::ControlPlane];

    /// The value of the `cause` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Scraper => "scraper",
            Self::ControlPlane => "control_plane",
        }
    }
}

/// What is excluded.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    /// The user's own exclusions.
    pub own: Vec<Exclusion>,
    /// Whether callers with a [`Duty`] are excluded.
    pub duties: bool,
}

impl Exclusions {
    /// Why a connection from `source` to `port` is excluded; `None` when it is not.
    pub fn cause(&self, source: &PairEnd, port: u16) -> Option<Cause> {
        if self.own.iter().any(|one| one.covers(source.labels(), port)) {
            return Some(Cause::Configured);
        }
        let duty = match source {
            PairEnd::Workload(workload) if self.duties => workload.duty,
            _ => None,
        };
        duty.map(|duty| match duty {
            Duty::Scraper => Cause::Scraper,
            Duty::ControlPlane => Cause::ControlPlane,
        })
    }
}

/// Connections that were excluded, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excluded([u64; Cause::ALL.len()]);

impl Excluded {
    /// Adds connections.
    pub const fn add(&mut self, cause: Cause, n: u64) {
        self.0[cause as usize] += n;
    }

    /// The numbers, each with its cause.
    pub fn by_cause(self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{Binding, Endpoint, Neighbourhood, Workload},
        model::{Boundary, Connections},
        points::Kind,
    };
    use agent_common::{Flow, FlowKey, Role};
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    fn workload(namespace: &str, name: &str, duty: Option<Duty>) -> Arc<Workload> {
        Arc::new(Workload {
            namespace: namespace.into(),
            kind: "Deployment".into(),
            name: name.into(),
            service_account: name.into(),
            principal: String::new(),
            duty,
        })
    }

    /// Counts one connection each from these callers to port 8080 of a workload behind a waypoint, past the waypoint.
    fn bypass(exclusions: Exclusions, callers: &[Endpoint]) -> Boundary {
        const NETNS: u32 = 7;
        let (catalog, now) = (workload("shop", "catalog", None), Instant::now());
        let mut boundary = Boundary::new(10, exclusions);
        let behind_waypoint = Neighbourhood {
            workload: catalog.clone(),
            waypoints: ["shop/waypoint".to_owned()].into(),
        };
        boundary.look(vec![(NETNS, behind_waypoint)], None, now);
        for caller in callers {
            let key = FlowKey {
                netns: NETNS,
                port: 8080,
                ..FlowKey::default()
            };
            let one = Flow {
                opened: 1,
                ..Flow::ZERO
            };
            let binding = Binding {
                owner: Endpoint::Workload(catalog.clone()),
                place: Some(catalog.clone()),
                peer: caller.clone(),
                expected: false,
                sure: true,
                question: None,
                generation: 0,
            };
            boundary.add(&key, Role::Server, &one, &binding, now, 0);
        }
        boundary
    }

    fn callers() -> [Endpoint; 4] {
        [
            Endpoint::Workload(workload("shop", "checkout", None)),
            Endpoint::Workload(workload("monitoring", "prometheus", Some(Duty::Scraper))),
            Endpoint::Workload(workload("istio-system", "istiod", Some(Duty::ControlPlane))),
            Endpoint::Network(workload("external", "office", None)),
        ]
    }

    /// The callers whose connections count as bypasses, and how many were excluded by each cause.
    fn outcome(own: &[&str], duties: bool) -> (Vec<String>, [u64; 3]) {
        let own = own
            .iter()
            .map(|yaml| serde_saphyr::from_str(yaml).expect("an exclusion"));
        let exclusions = Exclusions {
            own: own.collect(),
            duties,
        };
        let boundary = bypass(exclusions, &callers());
        let (window, now) = (Duration::from_secs(60), Instant::now());
        // What is excluded is still counted where enforcement is.
        let enforced = boundary.enforced.rows(window, now);
        assert_eq!(enforced.len(), callers().len());
        assert!(enforced.iter().all(|row| row.tally.0[Kind::ALL.len()] == 1));
        let bypassed = boundary.bypassed.rows(window, now);
        assert!(bypassed.iter().all(|row| row.tally == Connections(1)));
        let names = bypassed.iter().map(|row| row.key.pair.source.labels().1.to_owned());
        let mut excluded = [0; 3];
        for (cause, n) in boundary.excluded().by_cause() {
            excluded[cause as usize] = n;
        }
        (names.collect(), excluded)
    }

    #[test]
    fn scrapers_and_the_control_plane_bypass_no_point_unless_they_are_to() {
        let bypasses = ["office", "checkout"].map(str::to_owned);
        assert_eq!(outcome(&[], true), (bypasses.into(), [0, 1, 1]));
        let all = ["office", "istiod", "prometheus", "checkout"].map(str::to_owned);
        assert_eq!(outcome(&[], false), (all.into(), [0, 0, 0]));
    }

    #[test]
    fn callers_and_ports_can_be_excluded() {
        let office = ["office"].map(str::to_owned);
        assert_eq!(outcome(&["{ namespace: shop }"], true), (office.into(), [1, 1, 1]));
        let checkout = ["checkout"].map(str::to_owned);
        let network = "{ namespace: external, workload: office, port: 8080 }";
        assert_eq!(outcome(&[network], true), (checkout.into(), [1, 1, 1]));
        assert_eq!(outcome(&["{ port: 8080 }"], true), (vec![], [4, 0, 0]));
        let both = ["office", "checkout"].map(str::to_owned);
        assert_eq!(
            outcome(&["{ port: 8081 }", "{ namespace: shop, workload: cart }"], true),
            (both.into(), [0, 1, 1])
        );
    }
}
