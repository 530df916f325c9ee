use super::*;
use crate::{
    identity::{Duty, Workload},
    points::Mesh,
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
        Endpoint::Workload(workload(
            "istio-system",
            "istiod",
            Some(Duty::ControlPlane(Some(Mesh::Istio))),
        )),
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
