//! An address that passes from one pod to another: traffic goes to whoever had it then, however the news comes.

mod common;

use common::{
    cluster::{Cluster, Running, connect, fresh_uid, serve, time_now},
    v4,
};
use narrows_testbed::{
    agent::Agent,
    kubernetes::{Resource, manifests::Pod},
    load::Plan,
    scrape::Metrics,
    wait,
    workload::Workload,
};
use std::{net::TcpStream, time::Duration};

const DEPENDENT: &str = "narrows_dependent_connections_total";

/// A waypoint on this node, and an address on another node from which it is called.
struct Scene {
    cluster: Cluster,
    waypoint: Running,
    address: Workload,
    agent: Agent,
}

/// The pods that hold the address, one after the other.
fn pod(workload: &str) -> Pod {
    Pod::of("deployment")
        .named("shop", &format!("{workload}-1"))
        .owner("StatefulSet", workload)
        .uid(&fresh_uid())
        .node("worker-2")
        .ip(&["10.90.0.77"])
}

impl Scene {
    fn new(settle: u32) -> Self {
        let cluster = Cluster::new();
        let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
        let address = cluster.world.workload("elsewhere", 77);
        let configuration = cluster.configuration(&format!("identity: {{ settle: {settle} }}\n"));
        let agent = cluster.start(&["--config", &configuration]);
        Self {
            cluster,
            waypoint,
            address,
            agent,
        }
    }

    fn put(&self, pod: &Pod) {
        self.cluster.api.put(Resource::Pods, pod.clone().into_value());
    }

    fn calls(&self, n: u64) {
        assert_eq!(self.address.run(|| Plan::burst(v4(2, 8080), n).run()).ok, n);
    }

    fn expect(&self, expected: &[(&str, f64)]) {
        let all: f64 = expected.iter().map(|(_, n)| n).sum();
        let metrics = self.agent.wait_for("all dependents", |m| m.sum(DEPENDENT, &[]) == all);
        for (workload, n) in expected {
            let found = metrics.sum(DEPENDENT, &[("source_workload", workload)]);
            assert_eq!(found, *n, "{workload}\n{}", metrics.listing(DEPENDENT));
        }
    }
}

/// Objects say times to the second: lets one pass, so that what came before can be told from what comes after.
fn a_second_passes() {
    let now = time_now();
    let limit = Duration::from_secs(5);
    // Two changes of the clock's second are more than one second.
    wait::until("the next second", limit, || (time_now() != now).then_some(())).expect("clocks go on");
    let next = time_now();
    wait::until("the one after", limit, || (time_now() != next).then_some(())).expect("clocks go on");
}

#[test]
fn in_time() {
    let scene = Scene::new(2);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    let first = pod("first");
    scene.put(&first);
    scene.calls(10);
    scene.put(&first.clone().finished(&time_now()));
    a_second_passes();
    scene.cluster.api.delete(Resource::Pods, "shop", "first-1");
    scene.put(&pod("second").started(&time_now()));
    a_second_passes();
    scene.calls(7);
    scene.expect(&[("first", 10.0), ("second", 7.0)]);
}

#[test]
fn late_news() {
    let scene = Scene::new(20);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    let first = pod("first");
    scene.put(&first);
    scene.agent.settle();
    // From here on the agent hears nothing.
    scene.cluster.api.hold(Resource::Pods);
    scene.calls(10);
    a_second_passes();
    let ended = time_now();
    a_second_passes();
    let began = time_now();
    scene.calls(7);
    scene.agent.settle();
    scene.put(&first.clone().finished(&ended));
    scene.cluster.api.delete(Resource::Pods, "shop", "first-1");
    scene.put(&pod("second").started(&began));
    scene.cluster.api.release(Resource::Pods);
    scene.expect(&[("first", 10.0), ("second", 7.0)]);
}

#[test]
fn news_in_the_other_order() {
    let scene = Scene::new(20);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    let first = pod("first");
    scene.put(&first);
    scene.calls(10);
    a_second_passes();
    let ended = time_now();
    a_second_passes();
    // The second one is known before the end of the first.
    scene.put(&pod("second").started(&time_now()));
    a_second_passes();
    scene.calls(7);
    scene.agent.settle();
    scene.put(&first.clone().finished(&ended));
    scene.cluster.api.delete(Resource::Pods, "shop", "first-1");
    scene.expect(&[("first", 10.0), ("second", 7.0)]);
}

#[test]
fn a_finished_pod_that_still_names_the_address_does_not_have_it() {
    let scene = Scene::new(1);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    scene.put(
        &pod("finished")
            .started("2026-11-16T09:00:00Z")
            .finished("2026-11-16T10:00:00Z"),
    );
    scene.put(&pod("running").started("2026-11-16T11:00:00Z"));
    scene.calls(5);
    scene.expect(&[("running", 5.0)]);
}

#[test]
fn a_connection_stays_with_whom_it_began() {
    let scene = Scene::new(1);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    let first = pod("first");
    scene.put(&first);
    let open = scene
        .address
        .run(|| TcpStream::connect(v4(2, 8080)))
        .expect("connected");
    let active = |m: &Metrics, who| m.sum("narrows_dependent_active", &[("source_workload", who)]);
    scene.agent.wait_for("the first", |m| active(m, "first") == 1.0);
    scene.put(&first.clone().finished(&time_now()));
    a_second_passes();
    scene.cluster.api.delete(Resource::Pods, "shop", "first-1");
    scene.put(&pod("second").started(&time_now()));
    a_second_passes();
    scene.calls(3);
    scene.expect(&[("first", 1.0), ("second", 3.0)]);
    // It ends now, and the sums of open connections come out even.
    drop(open);
    let point = [("point", "shop/waypoint"), ("side", "downstream")];
    scene
        .agent
        .wait_for("its end", |m| m.sum("narrows_connections_active", &point) == 0.0);
    scene.expect(&[("first", 1.0), ("second", 3.0)]);
}

#[test]
fn a_change_of_hands_that_is_told_too_late_is_counted() {
    let scene = Scene::new(0);
    let _server = serve(&scene.waypoint, "istio-proxy", 2);
    scene.put(&pod("first"));
    scene.agent.settle();
    let began = time_now();
    a_second_passes();
    scene.calls(4);
    // Nothing is held back, so these are the first one's for good.
    scene.expect(&[("first", 4.0)]);
    scene.put(&pod("second").started(&began));
    let late = [("what", "late_address")];
    scene
        .agent
        .wait_for("the late news", |m| m.sum("narrows_lost_total", &late) >= 1.0);
    let client = scene.cluster.pod("deployment", "inventory-1", 11);
    connect(&client, "inventory", 2, 2);
    scene.expect(&[("first", 4.0), ("inventory", 2.0)]);
}
