//! What looks like a fault and is none: all of it at once in a cluster of forty nodes, where nothing may be said of it.

use super::{
    Scenario,
    cases::{grow, set},
    cluster::{SHOP, ZTUNNEL, at, control_plane, healthy, node, workload},
    world::{THEN, World},
};

/// A near miss of an alert.
pub struct Near {
    pub alert: &'static str,
    pub name: &'static str,
    change: fn(&mut World),
}

/// All of them, in one cluster.
pub fn scenario() -> Scenario {
    let mut world = healthy();
    for near in ALL {
        (near.change)(&mut world);
    }
    Scenario {
        name: ALL.map(|near| near.name).join("; "),
        world,
        fires: Vec::new(),
        says: Vec::new(),
    }
}

/// All of them.
pub const ALL: [Near; 11] = [
    Near {
        alert: "NarrowsPointUnreachableFromNode",
        name: "a third of the attempts of one node fail",
        change: |world| {
            let name = node(40);
            let timed_out = at(&name, &[&SHOP, &[("reason", "timed_out"), ("phase", "handshake")]]);
            world.counter("narrows_client_connection_failures_total", &timed_out, THEN.., 10.0);
        },
    },
    Near {
        alert: "NarrowsInstanceNotAccepting",
        name: "connections wait for eight seconds",
        change: |world| {
            let port = ("port", "15008");
            set(
                world,
                "narrows_accept_queue_oldest_seconds",
                5,
                &SHOP,
                "waypoint-05",
                &[port],
                8.0,
            );
        },
    },
    Near {
        alert: "NarrowsDrainTooSlow",
        name: "a few connections stay on an instance that is deleted",
        change: |world| {
            let deadline = 6_000.0;
            for (name, value) in [
                ("narrows_drain_cut_connections", 9.0),
                ("narrows_drain_start_timestamp_seconds", 60.0),
                ("narrows_drain_deadline_timestamp_seconds", deadline),
            ] {
                set(world, name, 6, &SHOP, "waypoint-06", &[("cause", "terminating")], value);
            }
        },
    },
    Near {
        alert: "NarrowsThreadFull",
        name: "a thread that sleeps now and then",
        change: |world| {
            let name = "narrows_busiest_thread_cpu_ratio";
            set(world, name, 7, &SHOP, "waypoint-07", &[], 0.88);
        },
    },
    Near {
        alert: "NarrowsUpstreamFailing",
        name: "a workload refuses one connection in twenty",
        change: |world| {
            let to = [
                ("destination_workload_namespace", "shop"),
                ("destination_workload", "app-18b"),
                ("reason", "refused"),
            ];
            grow(
                world,
                "narrows_served_failures_total",
                18,
                &ZTUNNEL,
                "ztunnel-18",
                &to,
                2.0,
            );
        },
    },
    Near {
        alert: "NarrowsNodeProxyFailing",
        name: "one workload of a node calls in vain, more often than all others call",
        change: |world| {
            for (which, growth) in [('a', 200.0), ('b', 0.0), ('c', 0.0)] {
                let name = workload(12, which);
                let who = [
                    ("source_workload_namespace", "shop"),
                    ("source_workload", name.as_str()),
                    ("reason", "refused"),
                ];
                grow(
                    world,
                    "narrows_dependent_failures_total",
                    12,
                    &ZTUNNEL,
                    "ztunnel-12",
                    &who,
                    growth,
                );
            }
        },
    },
    Near {
        alert: "NarrowsPointMissing",
        name: "a ztunnel is away for three minutes",
        change: |world| {
            set(world, "narrows_point_processes", 13, &ZTUNNEL, "ztunnel-13", &[], 0.0);
            let name = node(13);
            let labels = at(&name, &[&ZTUNNEL, &[("instance_pod", "ztunnel-13")]]);
            world.gauge("narrows_point_processes", &labels, THEN + 3.., 1.0);
        },
    },
    Near {
        alert: "NarrowsPointsWithoutControlPlane",
        name: "a ztunnel is without its control plane for four minutes, twice",
        change: |world| {
            for minute in [THEN, THEN + 6] {
                for (minute, connections) in [(minute, 0.0), (minute + 4, 1.0)] {
                    control_plane(world, &node(14), &ZTUNNEL, "ztunnel-14", minute, connections);
                }
            }
        },
    },
    Near {
        alert: "NarrowsHboneBlocked",
        name: "packets to the port of HBONE are lost now and then",
        change: |world| {
            let (node, source) = (node(5), workload(5, 'a'));
            let pair = [
                ("source_workload_namespace", "shop"),
                ("source_workload", source.as_str()),
                ("destination_workload_namespace", "shop"),
                ("destination_workload", "app-18b"),
            ];
            let labels = at(&node, &[&pair]);
            world.counter("narrows_hbone_blocked_connections_total", &labels, 0.., 0.0);
            for minute in (THEN..90).step_by(10) {
                world.counter("narrows_hbone_blocked_connections_total", &labels, minute.., 1.0);
                world.counter("narrows_hbone_blocked_connections_total", &labels, minute + 1.., 0.0);
            }
        },
    },
    Near {
        alert: "NarrowsNodeWithoutAgent",
        name: "a new node has no agent for ten minutes",
        change: |world| {
            world.pause(0..10, &["narrows_", "instance=\"node-39\""]);
            world.pause(0..10, &["up{", "instance=\"node-39\""]);
        },
    },
    Near {
        alert: "NarrowsPointSaturated",
        name: "one unread connection is all of a node's backlog",
        change: |world| {
            let of = ("resource", "backlog");
            set(
                world,
                "narrows_saturation_ratio",
                11,
                &ZTUNNEL,
                "ztunnel-11",
                &[of],
                1.0,
            );
            for side in ["downstream", "upstream"] {
                set(
                    world,
                    "narrows_connections_active",
                    11,
                    &ZTUNNEL,
                    "ztunnel-11",
                    &[("side", side)],
                    0.5,
                );
            }
        },
    },
];
