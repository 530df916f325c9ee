//! Few of many are bad.

mod instances;
mod others;
mod points;

use super::{
    Said, Scenario,
    cluster::{SHOP, at, healthy, node, workload},
    world::{THEN, World},
};

/// A gauge of one instance of a point.
pub fn set(
    world: &mut World,
    name: &str,
    n: usize,
    point: &[(&str, &str)],
    pod: &str,
    more: &[(&str, &str)],
    value: f64,
) {
    world.gauge(
        name,
        &at(&node(n), &[point, &[("instance_pod", pod)], more]),
        THEN..,
        value,
    );
}

/// The growth of a counter of one instance of a point.
pub fn grow(
    world: &mut World,
    name: &str,
    n: usize,
    point: &[(&str, &str)],
    pod: &str,
    more: &[(&str, &str)],
    by: f64,
) {
    world.counter(
        name,
        &at(&node(n), &[point, &[("instance_pod", pod)], more]),
        THEN..,
        by,
    );
}

/// What is wrong, and the alerts that say so.
pub struct Case {
    pub name: &'static str,
    pub fires: Vec<String>,
    says: Vec<Said>,
    change: Box<dyn FnOnce(&mut World)>,
}

fn case(name: &'static str, fires: &[String], change: impl FnOnce(&mut World) + 'static) -> Case {
    Case {
        name,
        fires: fires.to_vec(),
        says: Vec::new(),
        change: Box::new(change),
    }
}

impl Case {
    /// Whom the alerts of a name tell of, word by word.
    fn says(mut self, said: impl IntoIterator<Item = Said>) -> Self {
        self.says.extend(said);
        self
    }
}

/// What an alert tells of the ztunnel of a node.
fn said_of_ztunnel(alert: &'static str, n: usize, summary: &str, description: &str) -> Said {
    let labels = [
        ("severity", "critical"),
        ("namespace", "istio-system"),
        ("point", "istio-system/ztunnel"),
        ("kind", "ztunnel"),
        ("mesh", "istio"),
    ];
    let mut labels: Vec<_> = labels.map(|(name, value)| (name, value.to_owned())).into();
    labels.extend([("instance", node(n)), ("node", node(n))]);
    Said {
        alert,
        labels,
        summary: summary.to_owned(),
        description: format!(
            "{description} Blast radius: 3 dependents: shop/app-{n:02}a, shop/app-{n:02}b, shop/app-{n:02}c; reached through it: 3."
        ),
    }
}

/// A cluster in which all of these are wrong at once.
pub fn scenario(cases: Vec<Case>) -> Scenario {
    let mut scenario = Scenario {
        name: cases.iter().map(|case| case.name).collect::<Vec<_>>().join("; "),
        world: healthy(),
        fires: cases.iter().flat_map(|case| case.fires.clone()).collect(),
        says: Vec::new(),
    };
    for case in cases {
        (case.change)(&mut scenario.world);
        scenario.says.extend(case.says);
    }
    scenario
}

/// An alert about a ztunnel of a node.
fn of_ztunnel(alert: &str, severity: &str, n: usize, more: &str) -> String {
    format!(
        "alertname=\"{alert}\",severity=\"{severity}\",namespace=\"istio-system\",point=\"istio-system/ztunnel\",node=\"{}\"{more}",
        node(n)
    )
}

/// An alert about a waypoint.
fn of_waypoint(alert: &str, severity: &str, namespace: &str, more: &str) -> String {
    format!(
        "alertname=\"{alert}\",severity=\"{severity}\",namespace=\"{namespace}\",point=\"{namespace}/waypoint\"{more}"
    )
}

/// All of them, by what can be wrong at once.
pub fn all() -> [Vec<Case>; 3] {
    [points::all(), instances::all(), others::all()]
}

/// From this node the attempts to reach the waypoint of `shop` time out.
fn unreachable_from(world: &mut World, n: usize) {
    let (node, name) = (node(n), workload(n, 'a'));
    world.counter(
        "narrows_client_connections_opened_total",
        &at(&node, &[&SHOP]),
        THEN..,
        0.0,
    );
    let timed_out = [("reason", "timed_out"), ("phase", "handshake")];
    let failures = at(&node, &[&SHOP, &timed_out]);
    world.counter("narrows_client_connection_failures_total", &failures, THEN.., 20.0);
    let who = [
        ("source_workload_namespace", "shop"),
        ("source_workload", name.as_str()),
        ("reason", "timed_out"),
    ];
    world.counter(
        "narrows_dependent_failures_total",
        &at(&node, &[&SHOP, &who]),
        THEN..,
        20.0,
    );
}
