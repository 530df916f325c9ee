//! What is not about the load of points: the boundary, the agents themselves.

use super::{
    super::{
        Said,
        cluster::{SHOP, ZTUNNEL, at, control_plane, node, workload},
        world::THEN,
    },
    Case, case, of_waypoint,
};

/// What is told of two ztunnels of forty. With the waypoints there are 73 instances, five of them where no agent answers.
fn without_control_plane() -> Said {
    Said {
        alert: "NarrowsPointsWithoutControlPlane",
        labels: [("severity", "critical"), ("mesh", "istio")]
            .map(|(name, value)| (name, value.to_owned()))
            .into(),
        summary: "2 instances of points of istio have no control plane".to_owned(),
        description:
            "2 of ztunnel istio-system/ztunnel, for up to 1h 19m 0s, of 68 instances with a link. Nodes (2): node-30, \
                      node-31. Workloads behind them: 6."
                .to_owned(),
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
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
            "the port of HBONE of one of many workloads is blocked",
            &["alertname=\"NarrowsHboneBlocked\",severity=\"warning\",namespace=\"shop\",destination_workload=\"app-18b\"".to_owned()],
            |world| {
                // Callers on three nodes; the other workload is one whose pods are gone.
                for n in 5..=7 {
                    let (node, source) = (node(n), workload(n, 'a'));
                    for (target, blocked) in [("app-18b", 1.0), ("app-19b", 0.0)] {
                        let pair = [
                            ("source_workload_namespace", "shop"),
                            ("source_workload", source.as_str()),
                            ("destination_workload_namespace", "shop"),
                            ("destination_workload", target),
                        ];
                        world.counter("narrows_hbone_unanswered_connections_total", &at(&node, &[&pair]), 0.., 1.0);
                        world.counter("narrows_hbone_blocked_connections_total", &at(&node, &[&pair]), 0.., blocked);
                    }
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
            "two of forty ztunnels have lost their control plane",
            &["alertname=\"NarrowsPointsWithoutControlPlane\",severity=\"critical\"".to_owned()],
            |world| {
                for n in [30, 31] {
                    control_plane(world, &node(n), &ZTUNNEL, &format!("ztunnel-{n:02}"), THEN, 0.0);
                }
            },
        )
        .says([without_control_plane()]),
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
