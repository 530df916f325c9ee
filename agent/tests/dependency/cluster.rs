//! The same in a cluster: labels of pods, services and namespaces say which waypoint is expected.

use super::common::{
    cluster::{Cluster, Running, connect, serve},
    expect,
};
use narrows_testbed::kubernetes::{
    Resource,
    manifests::{self, Pod},
};
use serde_json::json;

const BYPASSED: &str = "narrows_bypassed_connections_total";
const EXCLUDED: &str = "narrows_excluded_bypasses_total";
const USE: &str = "istio.io/use-waypoint";

/// A pod of an application, in a namespace that says nothing of waypoints.
fn application(cluster: &Cluster, name: &str, n: u8, edit: impl FnOnce(Pod) -> Pod) -> Running {
    let manifest = Pod::of("deployment")
        .label("app", name)
        .label("pod-template-hash", "6d7f8b9c5")
        .owner("ReplicaSet", &format!("{name}-6d7f8b9c5"));
    let pod = cluster.prepare(edit(manifest), &format!("{name}-6d7f8b9c5-x"), n);
    cluster.announce(&pod);
    pod
}

#[test]
fn labels_say_which_waypoint_is_to_be_passed() {
    let cluster = Cluster::new();
    let caller = application(&cluster, "caller", 11, |pod| pod);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    // By the pod itself; by its service; not at all; and by nobody, as it says.
    let servers = [
        application(&cluster, "by-pod", 21, |pod| pod.label(USE, "waypoint")),
        application(&cluster, "by-service", 22, |pod| pod),
        application(&cluster, "silent", 23, |pod| pod),
        application(&cluster, "opted-out", 24, |pod| pod.label(USE, "none")),
    ];
    let mut service = manifests::service("shop", "by-service", &[("app", "by-service")], &["10.96.0.22"]);
    service["metadata"]["labels"] = json!({ USE: "waypoint" });
    cluster.api.put(Resource::Services, service);
    let agent = cluster.start(&[]);
    let running: Vec<_> = servers
        .iter()
        .zip(21..)
        .map(|(pod, n)| serve(pod, &pod.first(), n))
        .collect();
    for n in 21..25 {
        connect(&waypoint, "istio-proxy", n, 5);
        connect(&caller, &caller.first(), n, 3);
    }
    let bypassed = |who| [("point", "shop/waypoint"), ("destination_workload", who)];
    agent.wait_for("both", |m| m.sum(BYPASSED, &[]) >= 6.0);
    agent.wait_for("all of them", |m| {
        m.sum("narrows_enforced_connections_total", &[]) == 32.0
    });
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            (BYPASSED, &bypassed("by-pod"), 3.0),
            (BYPASSED, &bypassed("by-service"), 3.0),
            (BYPASSED, &[], 6.0),
            (BYPASSED, &[("source_workload", "caller")], 6.0),
            (
                "narrows_enforced_connections_total",
                &[("enforced_by", "waypoint"), ("source_workload", "waypoint")],
                20.0,
            ),
        ],
    );
    // A scraper is meant to pass it by, and is known by its label.
    let scraper = application(&cluster, "scraper", 12, |pod| {
        pod.label("app.kubernetes.io/name", "prometheus")
    });
    connect(&scraper, &scraper.first(), 21, 4);
    agent.wait_for("scrapes", |m| m.sum(EXCLUDED, &[("cause", "scraper")]) == 4.0);
    let scrapes = [("source_workload", "scraper"), ("enforced_by", "none")];
    expect(
        &agent.settle(),
        &[
            (BYPASSED, &[], 6.0),
            (EXCLUDED, &[], 4.0),
            ("narrows_enforced_connections_total", &scrapes, 4.0),
        ],
    );
    // From now on, the namespace says it for all that say nothing themselves.
    cluster
        .api
        .put(Resource::Namespaces, manifests::namespace("shop", &[(USE, "waypoint")]));
    agent.wait_for("the namespace to be known", |m| {
        connect(&caller, &caller.first(), 23, 1);
        m.sum(BYPASSED, &bypassed("silent")) > 0.0
    });
    expect(&agent.settle(), &[(BYPASSED, &bypassed("opted-out"), 0.0)]);
    drop(running);
}
