//! A cluster of forty nodes in which nothing is wrong: a ztunnel on each node, a waypoint of thirty instances and one of three.

use super::world::{Labels, World};

/// The nodes.
pub const NODES: usize = 40;

/// The points' own labels.
pub const ZTUNNEL: [(&str, &str); 3] = [
    ("point", "istio-system/ztunnel"),
    ("kind", "ztunnel"),
    ("mesh", "istio"),
];
/// A waypoint with an instance on each of the first thirty nodes.
pub const SHOP: [(&str, &str); 3] = [("point", "shop/waypoint"), ("kind", "waypoint"), ("mesh", "istio")];
/// A waypoint with three instances.
pub const PAY: [(&str, &str); 3] = [("point", "pay/waypoint"), ("kind", "waypoint"), ("mesh", "istio")];

/// The name of a node.
pub fn node(n: usize) -> String {
    format!("node-{n:02}")
}

/// The labels that a scrape of the node's agent adds, followed by others.
pub fn at<'a>(node: &'a str, more: &[Labels<'a>]) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![("instance", node), ("node", node)];
    labels.extend(more.iter().copied().flatten());
    labels
}

/// The name of a workload of a node.
pub fn workload(n: usize, which: char) -> String {
    format!("app-{n:02}{which}")
}

/// All of it, from the first minute.
pub fn healthy() -> World {
    let mut world = World::default();
    for n in 1..=NODES {
        agent(&mut world, n);
        ztunnel(&mut world, n, &format!("ztunnel-{n:02}"), 0);
        callers(&mut world, n);
        if n <= 30 {
            waypoint(&mut world, n, &SHOP, &format!("waypoint-{n:02}"), 0);
        }
        if n <= 3 {
            waypoint(&mut world, n, &PAY, &format!("pay-{n:02}"), 0);
        }
    }
    world
}

fn agent(world: &mut World, n: usize) {
    let node = node(n);
    let own = |more: Labels<'static>| at(&node, &[more]);
    world.gauge("up", &own(&[("job", "narrows/narrows")]), 0.., 1.0);
    world.gauge("kube_node_info", &[("node", &node)], 0.., 1.0);
    world.gauge("narrows_build_info", &own(&[]), 0.., 1.0);
    world.gauge("narrows_cluster_nodes", &own(&[]), 0.., NODES as f64);
    world.counter("narrows_tick_seconds_count", &own(&[]), 0.., 12.0);
    world.counter(
        "narrows_attributed_connections_total",
        &own(&[("end", "local"), ("result", "workload")]),
        0..,
        120.0,
    );
    world.counter(
        "narrows_attributed_connections_total",
        &own(&[("end", "remote"), ("result", "unknown")]),
        0..,
        1.0,
    );
    for program in ["connection_state", "reset", "data_ready"] {
        world.gauge(
            "narrows_program_active",
            &at(&node, &[&[("program", program)]]),
            0..,
            1.0,
        );
    }
    world.counter("narrows_lost_total", &own(&[("what", "flow_detail")]), 0.., 0.0);
    world.gauge(
        "narrows_identity_age_seconds",
        &own(&[("source", "cluster_pods")]),
        0..,
        20.0,
    );
    world.gauge("narrows_identity_synced", &own(&[("source", "cluster_pods")]), 0.., 1.0);
    for which in ['a', 'b', 'c'] {
        let name = workload(n, which);
        let who = [
            ("workload_namespace", "shop"),
            ("workload", name.as_str()),
            ("mode", "ambient"),
        ];
        world.gauge("narrows_workload_mode", &at(&node, &[&who]), 0.., 1.0);
    }
}

/// An instance of a point, idle but for its share of the traffic.
fn instance(world: &mut World, node: &str, point: Labels<'_>, pod: &str, from: usize) {
    let pod = [("instance_pod", pod)];
    let own = |more: &[(&'static str, &'static str)]| {
        let mut labels = at(node, &[point, &pod]);
        labels.extend(more.iter().copied());
        labels
    };
    world.gauge("narrows_point_processes", &own(&[]), from.., 1.0);
    control_plane(world, node, point, pod[0].1, from, 1.0);
    world.gauge("narrows_dependent_concentration_ratio", &own(&[]), from.., 0.3);
    world.gauge("narrows_dependents", &own(&[("scope", "workload")]), from.., 3.0);
    for side in ["downstream", "upstream"] {
        world.gauge("narrows_connections_active", &own(&[("side", side)]), from.., 20.0);
        world.counter(
            "narrows_connections_opened_total",
            &own(&[("side", side)]),
            from..,
            120.0,
        );
    }
    for (side, phase, reason) in [
        ("upstream", "handshake", "refused"),
        ("upstream", "established", "reset_by_peer"),
        ("downstream", "established", "closed_early"),
        ("downstream", "established", "reset_by_self"),
    ] {
        let labels = own(&[("side", side), ("phase", phase), ("reason", reason)]);
        world.counter("narrows_connection_failures_total", &labels, from.., 0.5);
    }
    for (resource, value) in [
        ("cpu", 0.4),
        ("memory", 0.6),
        ("accept_queue", 0.0),
        ("open_files", 0.1),
        ("backlog", 0.0),
        ("ephemeral_ports", 0.1),
    ] {
        world.gauge(
            "narrows_saturation_ratio",
            &own(&[("resource", resource)]),
            from..,
            value,
        );
    }
    world.gauge(
        "narrows_accept_queue_oldest_seconds",
        &own(&[("port", "15008")]),
        from..,
        0.0,
    );
    world.counter(
        "narrows_accept_queue_drops_total",
        &own(&[("port", "15008")]),
        from..,
        0.0,
    );
    world.gauge("narrows_sockets", &own(&[("state", "close_wait")]), from.., 10.0);
    world.counter("narrows_cpu_seconds_total", &own(&[]), from.., 6.0);
    world.counter("narrows_cpu_wait_seconds_total", &own(&[]), from.., 0.6);
    world.counter("narrows_cpu_throttled_seconds_total", &own(&[]), from.., 0.0);
    for by in ["itself", "workload", "system"] {
        world.counter("narrows_preemptions_total", &own(&[("by", by)]), from.., 10.0);
    }
    world.counter("narrows_point_starts_total", &own(&[]), from.., 0.0);
    for reason in ["exited", "killed", "oom_killed"] {
        world.counter("narrows_point_exits_total", &own(&[("reason", reason)]), from.., 0.0);
    }
}

/// From a minute on, an instance has so many connections to its control plane.
pub fn control_plane(world: &mut World, node: &str, point: Labels<'_>, pod: &str, from: usize, connections: f64) {
    let istiod = [
        ("destination_workload_namespace", "istio-system"),
        ("destination_workload", "istiod"),
    ];
    let pod = [("instance_pod", pod)];
    let link = at(node, &[point, &pod, &istiod]);
    world.gauge("narrows_control_plane_connections", &link, from.., connections);
    let changed = 60.0 * from as f64;
    world.gauge(
        "narrows_control_plane_changed_timestamp_seconds",
        &link,
        from..,
        changed,
    );
}

/// The ztunnel of a node, on which the three workloads of the node depend and through which they are reached.
pub fn ztunnel(world: &mut World, n: usize, pod: &str, from: usize) {
    let node = node(n);
    instance(world, &node, &ZTUNNEL, pod, from);
    for which in ['a', 'b', 'c'] {
        let name = workload(n, which);
        let pod = [("instance_pod", pod)];
        let source = [
            ("source_workload_namespace", "shop"),
            ("source_workload", name.as_str()),
        ];
        let target = [
            ("destination_workload_namespace", "shop"),
            ("destination_workload", name.as_str()),
        ];
        let dependent = at(&node, &[&ZTUNNEL, &pod, &source]);
        world.gauge("narrows_dependent_active", &dependent, from.., 1.0);
        world.gauge("narrows_dependent_share_ratio", &dependent, from.., 1.0);
        world.counter("narrows_dependent_connections_total", &dependent, from.., 40.0);
        let refused = at(&node, &[&ZTUNNEL, &pod, &source, &[("reason", "refused")]]);
        world.counter("narrows_dependent_failures_total", &refused, from.., 0.5);
        let served = at(&node, &[&ZTUNNEL, &pod, &target]);
        world.gauge("narrows_served_active", &served, from.., 1.0);
        world.counter("narrows_served_connections_total", &served, from.., 40.0);
        let refused = at(&node, &[&ZTUNNEL, &pod, &target, &[("reason", "refused")]]);
        world.counter("narrows_served_failures_total", &refused, from.., 0.0);
    }
}

/// An instance of a waypoint, through which two workloads are reached.
pub fn waypoint(world: &mut World, n: usize, point: Labels<'_>, pod: &str, from: usize) {
    let node = node(n);
    instance(world, &node, point, pod, from);
    for name in ["catalog", "orders"] {
        let pod = [("instance_pod", pod)];
        let target = [
            ("destination_workload_namespace", "shop"),
            ("destination_workload", name),
        ];
        let served = at(&node, &[point, &pod, &target]);
        world.gauge("narrows_served_active", &served, from.., 1.0);
        world.counter("narrows_served_connections_total", &served, from.., 60.0);
        let refused = at(&node, &[point, &pod, &target, &[("reason", "refused")]]);
        world.counter("narrows_served_failures_total", &refused, from.., 0.0);
    }
}

/// What the callers of a node show of both waypoints.
fn callers(world: &mut World, n: usize) {
    let (node, name) = (node(n), workload(n, 'a'));
    for point in [&SHOP, &PAY] {
        let source = [
            ("source_workload_namespace", "shop"),
            ("source_workload", name.as_str()),
        ];
        let dependent = at(&node, &[point, &source]);
        world.gauge("narrows_dependent_active", &dependent, 0.., 1.0);
        world.gauge("narrows_dependent_share_ratio", &dependent, 0.., 0.5);
        world.counter("narrows_dependent_connections_total", &dependent, 0.., 20.0);
        let timed_out = at(&node, &[point, &source, &[("reason", "timed_out")]]);
        world.counter("narrows_dependent_failures_total", &timed_out, 0.., 0.0);
        world.counter(
            "narrows_client_connections_opened_total",
            &at(&node, &[point]),
            0..,
            20.0,
        );
        let timed_out = at(&node, &[point, &[("reason", "timed_out"), ("phase", "handshake")]]);
        world.counter("narrows_client_connection_failures_total", &timed_out, 0.., 0.0);
    }
}
