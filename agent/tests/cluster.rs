//! Attribution on a node of a cluster: pods in cgroups as kubelets and runtimes lay them out, their objects on an API server,
//! and real traffic between them.

mod common;

use common::{
    cluster::{Cluster, Running},
    expect, v4,
};
use narrows_testbed::{
    kubernetes::{
        Resource,
        manifests::{self, Pod},
        node::{Layout, Qos},
    },
    load::{Behaviour, Plan, Server},
};

const REMOTE: &str = "narrows_attributed_connections_total";

/// `n` connections from one pod to another, all answered.
fn connect(from: &Running, container: &str, to: u8, n: u64) {
    assert_eq!(from.run(container, || Plan::burst(v4(to, 8080), n).run()).ok, n);
}

fn serve(pod: &Running, container: &str, n: u8) -> Server {
    pod.run(container, || Server::start(v4(n, 8080), Behaviour::default()))
        .expect("it listens")
}

#[test]
fn both_ends_of_a_connection_are_named() {
    let cluster = Cluster::new();
    let client = cluster.pod("deployment", "inventory-6d7f8b9c5-aaaaa", 11);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
    let agent = cluster.start(&[]);
    let _server = serve(&waypoint, "istio-proxy", 2);
    connect(&client, "inventory", 2, 20);
    agent.wait_for("20 attributed dependents", |m| {
        m.sum("narrows_dependent_connections_total", &[]) == 20.0
    });
    expect(
        &agent.settle(),
        &[
            (
                "narrows_connections_opened_total",
                &[
                    ("point", "shop/waypoint"),
                    ("kind", "waypoint"),
                    ("mesh", "istio"),
                    ("instance_pod", "waypoint-6f7d9c8b5d-bbbbb"),
                    ("side", "downstream"),
                ],
                20.0,
            ),
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "inventory"), ("source_workload_namespace", "shop")],
                20.0,
            ),
            (
                "narrows_client_connections_opened_total",
                &[("point", "shop/waypoint")],
                20.0,
            ),
            (REMOTE, &[("end", "remote"), ("result", "point")], 20.0),
            (REMOTE, &[("end", "remote"), ("result", "workload")], 20.0),
            (REMOTE, &[("end", "remote"), ("result", "unknown")], 0.0),
        ],
    );
}
