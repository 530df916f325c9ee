//! The dependents of a point, and the workloads reached through it.

use super::{
    bounded::{Bounded, Tally},
    load,
};
use crate::identity::Workload;
use agent_common::{Flow, Reason};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// The counters of one workload's traffic through the point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Connections whose handshake completed.
    pub connections: u64,
    /// Payload bytes in both directions.
    pub bytes: u64,
    /// Failed connections by [`agent_common::Reason`].
    pub failures: [u64; Reason::COUNT],
    /// Connections that are open now.
    pub active: i64,
    /// Connections that ended, and failed attempts.
    pub ended: u64,
}

impl Share {
    /// All counters of a flow.
    pub fn of(delta: &Flow) -> Self {
        Self {
            connections: delta.opened,
            bytes: delta.received + delta.sent,
            failures: delta.failures,
            active: load::change(delta),
            ended: load::ended(delta),
        }
    }

    /// Failures only, with all other counters 0.
    pub fn of_failures(failures: [u64; Reason::COUNT]) -> Self {
        Self {
            failures,
            ended: load::failed_attempts(&failures),
            ..Self::default()
        }
    }
}

impl Tally for Share {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.bytes += other.bytes;
        self.active += other.active;
        self.ended += other.ended;
        for (total, new) in self.failures.iter_mut().zip(other.failures) {
            *total += new;
        }
    }

    fn uses(&self) -> (i64, u64) {
        (self.active, self.ended)
    }

    fn is_traffic(&self) -> bool {
        self.connections != 0 || self.bytes != 0 || self.failures.iter().any(|n| *n != 0) || self.active > 0
    }

    fn of_open(open: i64) -> Self {
        Self {
            active: open,
            ..Self::default()
        }
    }
}

/// Number of distinct dependents, at three scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct workloads, by namespace, name and principal.
    pub workloads: usize,
    /// Distinct service accounts of these workloads.
    pub service_accounts: usize,
    /// Distinct namespaces of these workloads.
    pub namespaces: usize,
}

/// The workloads on one side of a point.
pub type Endpoints = Bounded<Arc<Workload>, Share>;

impl Endpoints {
    /// The number of workloads with traffic in the window or open connections.
    pub fn counts(&self, window: Duration, now: Instant) -> Counts {
        let (mut accounts, mut namespaces, mut workloads) = (BTreeSet::new(), BTreeSet::new(), 0);
        for who in self.active(window, now) {
            workloads += 1;
            accounts.insert((&who.namespace, &who.service_account));
            namespaces.insert(&who.namespace);
        }
        Counts {
            workloads,
            service_accounts: accounts.len(),
            namespaces: namespaces.len(),
        }
    }
}

/// Failed handshakes: the called point's own sockets do not show these.
pub fn handshake_failures(delta: &Flow) -> [u64; Reason::COUNT] {
    let mut failures = delta.failures;
    for reason in Reason::ALL {
        if reason.phase() == "established" {
            failures[reason as usize] = 0;
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn workload(name: &str, namespace: &str) -> Arc<Workload> {
        Arc::new(Workload {
            namespace: namespace.into(),
            kind: "Workload".into(),
            name: name.into(),
            service_account: "default".into(),
            duty: None,
            principal: String::new(),
        })
    }

    fn connections(n: u64) -> Share {
        Share {
            connections: n,
            bytes: 10 * n,
            ended: n,
            ..Share::default()
        }
    }

    #[test]
    fn scopes_are_counted_apart() {
        let mut dependents = Endpoints::new(10);
        let now = Instant::now();
        for (name, namespace) in [("a", "x"), ("b", "x"), ("a", "y")] {
            dependents.add(Some(&workload(name, namespace)), &connections(1), now, 0);
        }
        let counts = dependents.counts(WINDOW, now);
        assert_eq!(
            counts,
            Counts {
                workloads: 3,
                service_accounts: 2,
                namespaces: 2
            }
        );
    }

    #[test]
    fn a_dependent_leaves_after_the_window_but_not_with_an_open_connection() {
        let mut dependents = Endpoints::new(1);
        let now = Instant::now();
        let open = Share {
            active: 1,
            ended: 0,
            ..connections(1)
        };
        // The second one is not tracked in detail, which makes no difference.
        for name in ["b", "c"] {
            dependents.add(Some(&workload(name, "x")), &open, now, 0);
        }
        let later = now + WINDOW + Duration::from_secs(1);
        dependents.expire(WINDOW, later, 6);
        assert_eq!(dependents.counts(WINDOW, later).workloads, 2);
        // The end of a connection is not traffic.
        let end = Share {
            active: -1,
            ended: 1,
            ..Share::default()
        };
        for name in ["b", "c"] {
            dependents.add(Some(&workload(name, "x")), &end, later, 6);
        }
        assert_eq!(dependents.counts(WINDOW, later).workloads, 0);
        assert!(dependents.rows(WINDOW, later).iter().all(|row| !row.active));
    }

    #[test]
    fn beyond_the_bound_the_sum_stays_exact() {
        let mut dependents = Endpoints::new(3);
        let now = Instant::now();
        for n in 0..10 {
            dependents.add(Some(&workload(&format!("w{n}"), "x")), &connections(n + 1), now, 0);
        }
        dependents.add(None, &connections(100), now, 0);
        let tracked: u64 = dependents
            .rows(WINDOW, now)
            .iter()
            .map(|row| row.tally.connections)
            .sum();
        let rest = dependents.rest().map(|(name, share)| (name, share.connections));
        assert_eq!(tracked, 1 + 2 + 3);
        assert_eq!(rest, [("_other", 49), ("_former", 0), ("unknown", 100)]);
        assert_eq!(dependents.untracked(), 7);
        assert_eq!(dependents.counts(WINDOW, now).workloads, 10);
        dependents.expire(WINDOW, now + WINDOW * 2, 12);
        assert_eq!(dependents.untracked(), 0);
    }
}
