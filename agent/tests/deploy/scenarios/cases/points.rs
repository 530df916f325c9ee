//! Points of many, or the proxies of some nodes.

use super::{
    super::{
        cluster::{PAY, ZTUNNEL, at, node, waypoint, workload},
        world::THEN,
    },
    Case, case, grow, of_waypoint, of_ztunnel, said_of_ztunnel, set, unreachable_from,
};

/// All of them.
pub fn all() -> Vec<Case> {
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
                waypoint(world, 4, &point, "out-1", 0);
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
