//! Few of many are bad.

use super::{
    Said, Scenario,
    cluster::{NODES, PAY, SHOP, ZTUNNEL, at, healthy, node, workload},
    world::{MINUTES, THEN, World},
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
    [points(), instances(), others()]
}

/// Points of many, or the proxies of some nodes.
fn points() -> Vec<Case> {
    let full = [7, 8, 9];
    let fires: Vec<_> = full
        .iter()
        .flat_map(|n| {
            let pod = format!(",instance_pod=\"ztunnel-{n:02}\",port=\"15008\"");
            [
                of_ztunnel("NarrowsPointSaturated", "warning", *n, ",resource=\"cpu\""),
                of_ztunnel("NarrowsPointSaturated", "critical", *n, ",resource=\"accept_queue\""),
                of_ztunnel("NarrowsAcceptQueueDropping", "critical", *n, ",port=\"15008\""),
                of_ztunnel("NarrowsInstanceNotAccepting", "critical", *n, &pod),
            ]
        })
        .collect();
    vec![
        case("three of forty ztunnels are full and accept nothing", &fires, move |world| {
            for n in full {
                let pod = format!("ztunnel-{n:02}");
                set(world, "narrows_saturation_ratio", n, &ZTUNNEL, &pod, &[("resource", "cpu")], 1.0);
                set(world, "narrows_saturation_ratio", n, &ZTUNNEL, &pod, &[("resource", "accept_queue")], 1.0);
                set(world, "narrows_accept_queue_oldest_seconds", n, &ZTUNNEL, &pod, &[("port", "15008")], 100.0);
                grow(world, "narrows_accept_queue_drops_total", n, &ZTUNNEL, &pod, &[("port", "15008")], 60.0);
            }
        })
        .says(full.map(|n| {
            let mut said = said_of_ztunnel(
                "NarrowsAcceptQueueDropping",
                n,
                &format!("ztunnel istio-system/ztunnel on node {} drops handshakes on port 15008", node(n)),
                "1.00 handshakes per second are dropped, because the accept queue is full: the proxy does not accept connections as \
                 fast as they arrive. Its own metrics do not show this.",
            );
            said.labels.push(("port", "15008".to_owned()));
            said
        })),
        case(
            "one of forty nodes cannot reach a waypoint",
            &[of_waypoint("NarrowsPointUnreachableFromNode", "critical", "shop", ",node=\"node-40\"")],
            |world| unreachable_from(world, 40),
        ),
        case(
            "a waypoint whose every upstream connection is refused, and which resets its callers",
            &["catalog", "orders"].map(|name| {
                let to = format!(",destination_workload=\"{name}\"");
                of_waypoint("NarrowsUpstreamFailing", "critical", "pay", &to)
            }),
            |world| {
                for n in 1..=3 {
                    let pod = format!("pay-{n:02}");
                    for name in ["catalog", "orders"] {
                        let to = [("destination_workload_namespace", "shop"), ("destination_workload", name)];
                        grow(world, "narrows_served_connections_total", n, &PAY, &pod, &to, 0.0);
                        let refused = [to[0], to[1], ("reason", "refused")];
                        grow(world, "narrows_served_failures_total", n, &PAY, &pod, &refused, 60.0);
                    }
                    for (side, phase, reason) in
                        [("upstream", "handshake", "refused"), ("downstream", "established", "reset_by_self")]
                    {
                        let labels = [("side", side), ("phase", phase), ("reason", reason)];
                        grow(world, "narrows_connection_failures_total", n, &PAY, &pod, &labels, 120.0);
                    }
                }
            },
        ),
        case(
            "a workload behind one of forty ztunnels refuses some",
            &[of_ztunnel("NarrowsUpstreamFailing", "warning", 18, ",destination_workload=\"app-18b\"")],
            |world| {
                let to = [
                    ("destination_workload_namespace", "shop"),
                    ("destination_workload", "app-18b"),
                    ("reason", "refused"),
                ];
                grow(world, "narrows_served_failures_total", 18, &ZTUNNEL, "ztunnel-18", &to, 10.0);
            },
        ),
        case(
            "one of forty ztunnels does not carry the connections of its workloads",
            &[of_ztunnel("NarrowsNodeProxyFailing", "critical", 12, "")],
            |world| {
                for (which, growth) in [('a', 50.0), ('b', 40.0)] {
                    let name = workload(12, which);
                    let who = [
                        ("source_workload_namespace", "shop"),
                        ("source_workload", name.as_str()),
                        ("reason", "refused"),
                    ];
                    grow(world, "narrows_dependent_failures_total", 12, &ZTUNNEL, "ztunnel-12", &who, growth);
                }
            },
        )
        .says([said_of_ztunnel(
            "NarrowsNodeProxyFailing",
            12,
            "ztunnel istio-system/ztunnel on node node-12 fails to carry the connections of its workloads",
            "75.42% of their connections fail; it is more than half on 1 of 39 nodes. Affected callers: shop/app-12a, shop/app-12b, \
             shop/app-12c.",
        )]),
        case(
            "one of forty ztunnels is missing",
            &[of_ztunnel("NarrowsPointMissing", "critical", 13, "")],
            |world| {
                set(world, "narrows_point_processes", 13, &ZTUNNEL, "ztunnel-13", &[], 0.0);
                // The agent remembers it for a quarter of an hour.
                world.end(THEN + 15.., &["kind=\"ztunnel\"", "node-13"]);
                for which in ['a', 'b', 'c'] {
                    let name = workload(13, which);
                    let who = [("workload_namespace", "shop"), ("workload", name.as_str())];
                    world.end(THEN.., &["narrows_workload_mode", &name]);
                    world.gauge("narrows_workload_mode", &at(&node(13), &[&who, &[("mode", "none")]]), THEN.., 1.0);
                }
            },
        ),
        case(
            "of many gateways one has one instance and is the only way out",
            &["alertname=\"NarrowsSinglePointOfFailure\",severity=\"warning\",namespace=\"edge\",point=\"edge/out\"".to_owned()],
            |world| {
                let point = [("point", "edge/out"), ("kind", "egress_gateway"), ("mesh", "istio")];
                super::cluster::waypoint(world, 4, &point, "out-1", 0);
                for n in 1..=6 {
                    let name = workload(n, 'b');
                    let who = [("source_workload_namespace", "shop"), ("source_workload", name.as_str())];
                    world.gauge("narrows_dependent_active", &at(&node(n), &[&point, &who]), 0.., 1.0);
                    world.gauge("narrows_dependent_share_ratio", &at(&node(n), &[&point, &who]), 0.., 1.0);
                }
            },
        ),
    ]
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

/// One of many instances.
fn instances() -> Vec<Case> {
    let of_instance = |alert: &str, severity: &str, n: usize, more: &str| {
        of_waypoint(
            alert,
            severity,
            "shop",
            &format!(",node=\"node-{n}\",instance_pod=\"waypoint-{n}\"{more}"),
        )
    };
    let of_the_node = |alert: &str, severity: &str, n: usize, more: &str| {
        of_ztunnel(alert, severity, n, &format!(",instance_pod=\"ztunnel-{n}\"{more}"))
    };
    vec![
        case(
            "of two waypoints one cannot be reached",
            &[of_waypoint("NarrowsPointUnreachable", "critical", "shop", "")],
            |world| (1..=NODES).for_each(|n| unreachable_from(world, n)),
        ),
        case(
            "one of thirty instances hangs",
            &[of_instance(
                "NarrowsInstanceNotAccepting",
                "critical",
                17,
                ",port=\"15008\"",
            )],
            |world| {
                let port = ("port", "15008");
                set(
                    world,
                    "narrows_accept_queue_oldest_seconds",
                    17,
                    &SHOP,
                    "waypoint-17",
                    &[port],
                    300.0,
                );
            },
        ),
        case(
            "one of thirty instances drops handshakes",
            &[of_waypoint(
                "NarrowsAcceptQueueDropping",
                "critical",
                "shop",
                ",port=\"15008\"",
            )],
            |world| {
                let port = ("port", "15008");
                grow(
                    world,
                    "narrows_accept_queue_drops_total",
                    17,
                    &SHOP,
                    "waypoint-17",
                    &[port],
                    30.0,
                );
            },
        ),
        case(
            "one of three instances gets most connections",
            &[of_waypoint("NarrowsReplicaSkew", "warning", "pay", "")],
            |world| {
                let side = ("side", "downstream");
                grow(
                    world,
                    "narrows_connections_opened_total",
                    2,
                    &PAY,
                    "pay-02",
                    &[side],
                    2000.0,
                );
            },
        ),
        case(
            "one of forty ztunnels waits for a processor",
            &[of_the_node(
                "NarrowsNoisyNeighbour",
                "warning",
                21,
                ",cause=\"processor\"",
            )],
            |world| {
                grow(
                    world,
                    "narrows_cpu_wait_seconds_total",
                    21,
                    &ZTUNNEL,
                    "ztunnel-21",
                    &[],
                    30.0,
                );
                let by = ("by", "workload");
                grow(
                    world,
                    "narrows_preemptions_total",
                    21,
                    &ZTUNNEL,
                    "ztunnel-21",
                    &[by],
                    6000.0,
                );
            },
        ),
        case(
            "one of forty ztunnels is filled by one of its workloads",
            &[of_the_node(
                "NarrowsNoisyNeighbour",
                "warning",
                22,
                ",cause=\"dependent\"",
            )],
            |world| {
                set(
                    world,
                    "narrows_dependent_concentration_ratio",
                    22,
                    &ZTUNNEL,
                    "ztunnel-22",
                    &[],
                    0.9,
                );
                let cpu = ("resource", "cpu");
                set(
                    world,
                    "narrows_saturation_ratio",
                    22,
                    &ZTUNNEL,
                    "ztunnel-22",
                    &[cpu],
                    0.84,
                );
            },
        ),
        case(
            "one of thirty instances leaks sockets",
            &[of_instance("NarrowsSocketLeak", "warning", 18, "")],
            |world| {
                let name = node(18);
                let labels = at(
                    &name,
                    &[&SHOP, &[("instance_pod", "waypoint-18"), ("state", "close_wait")]],
                );
                for minute in 0..MINUTES {
                    world.gauge("narrows_sockets", &labels, minute.., 10.0 * minute as f64);
                }
            },
        ),
        case(
            "one of forty ztunnels has a bad certificate",
            &[of_ztunnel("NarrowsClosedEarlyRising", "warning", 23, "")],
            |world| {
                let labels = [
                    ("side", "downstream"),
                    ("phase", "established"),
                    ("reason", "closed_early"),
                ];
                grow(
                    world,
                    "narrows_connection_failures_total",
                    23,
                    &ZTUNNEL,
                    "ztunnel-23",
                    &labels,
                    100.0,
                );
            },
        ),
        case(
            "one of forty ztunnels restarts again and again",
            &[of_the_node("NarrowsPointKilled", "critical", 24, ",cause=\"restarts\"")],
            |world| {
                grow(
                    world,
                    "narrows_point_starts_total",
                    24,
                    &ZTUNNEL,
                    "ztunnel-24",
                    &[],
                    0.2,
                );
            },
        ),
        case(
            "one of thirty instances was killed",
            &[of_instance("NarrowsPointKilled", "critical", 19, ",cause=\"memory\"")],
            |world| {
                let name = node(19);
                let labels = at(
                    &name,
                    &[&SHOP, &[("instance_pod", "waypoint-19"), ("reason", "oom_killed")]],
                );
                world.counter("narrows_point_exits_total", &labels, MINUTES - 5.., 1.0);
            },
        ),
    ]
}

/// What is not about the load of points: the boundary, the agents themselves.
fn others() -> Vec<Case> {
    vec![
        case(
            "one of many workloads is reached past its waypoint",
            &[of_waypoint("NarrowsPolicyBypassed", "warning", "shop", ",destination_workload=\"catalog\"")],
            |world| {
                for (target, growth) in [("catalog", 2.0), ("orders", 0.1)] {
                    let pair = [
                        ("source_workload_namespace", "shop"),
                        ("source_workload", "app-05a"),
                        ("destination_workload_namespace", "shop"),
                        ("destination_workload", target),
                    ];
                    world.counter("narrows_bypassed_connections_total", &at(&node(5), &[&SHOP[..2], &pair]), 0.., growth);
                }
            },
        ),
        case(
            "one of many workloads takes part in two ways",
            &["alertname=\"NarrowsMixedMode\",severity=\"warning\",namespace=\"shop\",workload=\"app-05a\"".to_owned()],
            |world| {
                let who = [("workload_namespace", "shop"), ("workload", "app-05a"), ("mode", "sidecar")];
                world.gauge("narrows_workload_mode", &at(&node(6), &[&who]), THEN.., 1.0);
            },
        ),
        case(
            "a program is not attached on one of forty nodes",
            &["alertname=\"NarrowsAgentBlind\",severity=\"warning\",cause=\"program\",node=\"node-10\",program=\"reset\"".to_owned()],
            |world| world.gauge("narrows_program_active", &at(&node(10), &[&[("program", "reset")]]), THEN.., 0.0),
        ),
        case(
            "a program is not attached on thirty of forty nodes",
            &["alertname=\"NarrowsAgentBlind\",severity=\"warning\",cause=\"program\",program=\"connection_state\",scope=\"cluster\"".to_owned()],
            |world| {
                for n in 1..=30 {
                    world.gauge("narrows_program_active", &at(&node(n), &[&[("program", "connection_state")]]), THEN.., 0.0);
                }
            },
        ),
        case(
            "one of forty agents does not answer",
            &["alertname=\"NarrowsAgentDown\",severity=\"warning\",cause=\"down\",node=\"node-20\"".to_owned()],
            |world| {
                world.end(THEN.., &["narrows_", "instance=\"node-20\""]);
                world.gauge("up", &at(&node(20), &[&[("job", "narrows/narrows")]]), THEN.., 0.0);
            },
        ),
        case(
            "three of forty nodes have no agent",
            &["alertname=\"NarrowsNodeWithoutAgent\",severity=\"warning\"".to_owned()],
            |world| {
                for n in 38..=40 {
                    let instance = format!("instance={:?}", node(n));
                    world.end(THEN.., &["narrows_", &instance]);
                    world.end(THEN.., &["up{", &instance]);
                }
            },
        ),
        case(
            "one of forty agents knows nobody",
            &["alertname=\"NarrowsIdentityUnknown\",severity=\"warning\",cause=\"unknown\",node=\"node-15\"".to_owned()],
            |world| {
                let name = node(15);
                let labels = at(&name, &[&[("end", "remote"), ("result", "unknown")]]);
                world.counter("narrows_attributed_connections_total", &labels, THEN.., 400.0);
            },
        ),
    ]
}
