//! One of many instances.

use super::{
    super::{
        cluster::{NODES, PAY, SHOP, ZTUNNEL, at, node},
        world::{MINUTES, THEN, World},
    },
    Case, case, grow, of_waypoint, of_ztunnel, set, unreachable_from,
};

/// All of them.
pub fn all() -> Vec<Case> {
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
            "one of thirty instances is deleted, and its connections stay",
            &[of_instance(
                "NarrowsDrainTooSlow",
                "warning",
                20,
                ",cause=\"terminating\"",
            )],
            |world| draining(world, 20, "terminating", 60.0),
        ),
        case(
            "one of thirty instances has an old process",
            &[of_instance("NarrowsDrainTooSlow", "warning", 21, ",cause=\"replaced\"")],
            |world| draining(world, 21, "replaced", 3.0),
        ),
        case(
            "one of thirty instances has one busy thread",
            &[of_instance("NarrowsThreadFull", "warning", 22, "")],
            |world| {
                let name = "narrows_busiest_thread_cpu_ratio";
                set(world, name, 22, &SHOP, "waypoint-22", &[], 0.97);
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

/// An instance of the waypoint that is to go, and on which connections hang until the end.
fn draining(world: &mut World, n: usize, cause: &'static str, connections: f64) {
    let pod = format!("waypoint-{n}");
    let mut all = vec![
        ("narrows_draining_connections", connections),
        ("narrows_drain_start_timestamp_seconds", THEN as f64 * 60.0),
    ];
    if cause == "terminating" {
        all.extend([
            ("narrows_drain_cut_connections", connections),
            ("narrows_drain_deadline_timestamp_seconds", MINUTES as f64 * 60.0),
        ]);
    }
    for (name, value) in all {
        set(world, name, n, &SHOP, &pod, &[("cause", cause)], value);
    }
}
