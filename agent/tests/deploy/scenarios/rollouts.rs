//! Changes as they are made on purpose, in which nothing is wrong.

use super::{
    Scenario,
    cluster::{NODES, SHOP, ZTUNNEL, at, control_plane, healthy, node, waypoint, workload, ztunnel},
    world::{Labels, THEN, World},
};

type Change = fn(&mut World);

const ALL: [(&str, Change); 6] = [
    ("nothing happens", nothing),
    ("the DaemonSet of the ztunnels is upgraded, node by node", ztunnels),
    ("the instances of a waypoint are replaced, two a minute", instances),
    ("a node is drained and removed", drain),
    ("the agents are upgraded, node by node", agents),
    (
        "the control plane is replaced, and points are without it for four minutes",
        control_planes,
    ),
];

/// What happens in them.
pub const NAMES: [&str; ALL.len()] = [ALL[0].0, ALL[1].0, ALL[2].0, ALL[3].0, ALL[4].0, ALL[5].0];

/// All of them.
pub fn all() -> [Scenario; ALL.len()] {
    ALL.map(|(name, change)| {
        let mut world = healthy();
        change(&mut world);
        Scenario {
            name: name.to_owned(),
            world,
            fires: Vec::new(),
            says: Vec::new(),
        }
    })
}

fn nothing(_: &mut World) {}

/// From a minute on it has the usual grace, and nothing has ended yet.
fn terminating(world: &mut World, n: usize, point: Labels<'_>, pod: &str, minute: usize) {
    let name = node(n);
    let drain = [("instance_pod", pod), ("cause", "terminating")];
    let labels = at(&name, &[point, &drain]);
    let seconds = minute as f64 * 60.0;
    world.gauge("narrows_draining_connections", &labels, minute.., 20.0);
    world.gauge("narrows_drain_cut_connections", &labels, minute.., 20.0);
    world.gauge("narrows_drain_start_timestamp_seconds", &labels, minute.., seconds);
    world.gauge(
        "narrows_drain_deadline_timestamp_seconds",
        &labels,
        minute..,
        seconds + 30.0,
    );
}

/// Each is away for a minute. Callers are refused meanwhile, long connections are reset, and the new one has series of its own.
fn ztunnels(world: &mut World) {
    for n in 1..=NODES {
        let (minute, old, new) = (THEN + n, format!("ztunnel-{n:02}"), format!("ztunnel-{n:02}-new"));
        let pod = [("instance_pod", old.as_str())];
        let name = node(n);
        let labels = at(&name, &[&ZTUNNEL, &pod]);
        world.gauge("narrows_point_processes", &labels, minute.., 0.0);
        terminating(world, n, &ZTUNNEL, &old, minute - 1);
        world.end(minute.., &["drain", &format!("instance_pod={old:?}")]);
        control_plane(world, &name, &ZTUNNEL, &old, minute, 0.0);
        for which in ['a', 'b', 'c'] {
            let name = workload(n, which);
            let mut failures = labels.clone();
            failures.extend([
                ("source_workload_namespace", "shop"),
                ("source_workload", name.as_str()),
                ("reason", "refused"),
            ]);
            world.counter("narrows_dependent_failures_total", &failures, minute.., 40.0);
            world.counter("narrows_dependent_failures_total", &failures, minute + 1.., 0.0);
        }
        let mut exits = labels.clone();
        exits.push(("reason", "exited"));
        world.counter("narrows_point_exits_total", &exits, minute.., 1.0);
        world.counter("narrows_point_exits_total", &exits, minute + 1.., 0.0);
        let mut resets = labels.clone();
        resets.extend([
            ("side", "downstream"),
            ("phase", "established"),
            ("reason", "reset_by_self"),
        ]);
        world.counter("narrows_connection_failures_total", &resets, minute.., 40.0);
        world.counter("narrows_connection_failures_total", &resets, minute + 1.., 0.0);
        // The agent remembers the old one for a quarter of an hour.
        world.end(minute + 15.., &[&format!("instance_pod={old:?}")]);
        ztunnel(world, n, &new, minute + 1);
    }
}

/// A few callers are refused in the minute in which an instance goes; the new one is on the same node.
fn instances(world: &mut World) {
    for n in 1..=30 {
        let (minute, old, new) = (THEN + n / 2, format!("waypoint-{n:02}"), format!("waypoint-{n:02}-new"));
        terminating(world, n, &SHOP, &old, minute - 1);
        world.end(minute.., &[&format!("instance_pod={old:?}")]);
        waypoint(world, n, &SHOP, &new, minute);
        for caller in [n, n + 10] {
            let name = node(caller);
            let failures = at(&name, &[&SHOP, &[("reason", "timed_out"), ("phase", "handshake")]]);
            world.counter("narrows_client_connection_failures_total", &failures, minute.., 3.0);
            world.counter("narrows_client_connection_failures_total", &failures, minute + 1.., 0.0);
        }
    }
}

/// Its workloads leave, and who still calls them gets no answer at any port. Its instance of the waypoint is started elsewhere; then
/// the node goes, with its target.
fn drain(world: &mut World) {
    let name = node(25);
    let instance = format!("instance={name:?}");
    for which in ['a', 'b', 'c'] {
        let gone = workload(25, which);
        world.end(THEN + 5.., &[&gone]);
        let caller = node(1);
        let pair = [
            ("source_workload_namespace", "shop"),
            ("source_workload", "app-01a"),
            ("destination_workload_namespace", "shop"),
            ("destination_workload", gone.as_str()),
        ];
        let labels = at(&caller, &[&pair]);
        world.counter("narrows_hbone_unanswered_connections_total", &labels, THEN + 5.., 6.0);
        world.counter("narrows_hbone_blocked_connections_total", &labels, THEN + 5.., 0.0);
    }
    world.end(THEN + 2.., &["instance_pod=\"waypoint-25\""]);
    waypoint(world, 35, &SHOP, "waypoint-25-new", THEN + 2);
    world.end(THEN + 10.., &[&instance]);
    world.end(THEN + 10.., &["kube_node_info{", "node-25"]);
    for n in (1..=NODES).filter(|n| *n != 25) {
        world.gauge(
            "narrows_cluster_nodes",
            &at(&node(n), &[]),
            THEN + 10..,
            NODES as f64 - 1.0,
        );
    }
}

/// Each is away for two minutes; its counters go on, as the kernel has them.
fn agents(world: &mut World) {
    for n in 1..=NODES {
        let minute = THEN + n;
        let (name, instance) = (node(n), format!("instance={:?}", node(n)));
        world.pause(minute..minute + 2, &["narrows_", &instance]);
        let up = at(&name, &[&[("job", "narrows/narrows")]]);
        world.gauge("up", &up, minute.., 0.0);
        world.gauge("up", &up, minute + 2.., 1.0);
    }
}

/// All points lose their connections in the same minute, and have others four minutes later.
fn control_planes(world: &mut World) {
    for n in 1..=NODES {
        let node = node(n);
        for (minute, connections) in [(THEN, 0.0), (THEN + 4, 1.0)] {
            control_plane(world, &node, &ZTUNNEL, &format!("ztunnel-{n:02}"), minute, connections);
            if n <= 30 {
                control_plane(world, &node, &SHOP, &format!("waypoint-{n:02}"), minute, connections);
            }
        }
    }
}
