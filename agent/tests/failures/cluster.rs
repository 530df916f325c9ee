//! Who it was, in a cluster, long before the next tick.

use super::{
    PATIENCE,
    common::{
        cluster::{Cluster, Running},
        v4,
    },
    list, wait,
};
use narrows::failures::{End, Failure, Vantage};
use narrows_testbed::{agent::Agent, kubernetes::manifests::Pod, load::Plan};

/// Calls the waypoint, where nobody listens, and returns what is told of it when it is told.
#[track_caller]
fn refused(agent: &Agent, pod: &Running, port: u16) -> Failure {
    assert_eq!(pod.run(&pod.first(), || Plan::burst(v4(2, port), 1).run()).refused, 1);
    let told = wait::until("a failure", PATIENCE, || {
        let mut all = list(agent, "").failures.into_iter().rev();
        all.find(|failure| failure.service_port == port)
    });
    told.unwrap_or_else(|error| panic!("{error}\n{}", agent.stderr()))
}

fn is_workload(end: &End, name: &str) -> bool {
    matches!(end, End::Workload(workload) if workload.name == name)
}

#[test]
fn a_pod_younger_than_the_last_tick_is_named() {
    let cluster = Cluster::new();
    let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
    let agent = cluster.start(&["--interval", "60"]);
    let pod = cluster.prepare(Pod::of("istio-ambient-app"), "catalog-aaaaa", 11);
    let name = format!("{}/{}", pod.namespace(), pod.workload());

    // Nobody knows it: it is waited for, in vain.
    let failure = refused(&agent, &pod, 9000);
    assert_eq!(failure.owner, End::Unknown, "{failure:#?}");

    // The API server's news come at some moment; then it is known, as is the one that it calls.
    cluster.announce(&pod);
    let mut port = 9000;
    let failure = wait::until(&name, PATIENCE, || {
        port += 1;
        let failure = refused(&agent, &pod, port);
        is_workload(&failure.owner, &name).then_some(failure)
    })
    .expect("it is known");
    assert_eq!(failure.vantage, Some(Vantage::Client), "{failure:#?}");
    let End::Workload(owner) = &failure.owner else {
        panic!("{failure:#?}")
    };
    assert_eq!(owner.principal, Some(pod.istio_principal()));
    let point = failure.point.as_ref().expect("a point");
    assert_eq!(point.name, format!("{}/waypoint", waypoint.namespace()));
    assert_eq!(point.instance.as_deref(), Some("waypoint-6f7d9c8b5d-bbbbb"));
    assert_eq!(
        agent.metrics().sum("narrows_tick_seconds_count", &[]),
        1.0,
        "there was no tick"
    );
}

#[test]
fn a_ztunnel_fails_in_the_name_of_its_workload() {
    let cluster = Cluster::new();
    let pod = cluster.pod("istio-ambient-app", "catalog-aaaaa", 11);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
    let ztunnel = cluster.pod("istio-ztunnel", "ztunnel-ddddd", 3);
    let agent = cluster.start(&["--interval", "60"]);
    let name = format!("{}/{}", pod.namespace(), pod.workload());
    let inside = pod.sim.netns().expect("a network of its own");
    let cgroup = ztunnel.sim.cgroup(&ztunnel.first());
    let mut port = 9000;
    let failure = wait::until("the workload that it is for", PATIENCE, || {
        // The pod shows its network namespace with a socket of its own.
        refused(&agent, &pod, 8999);
        port += 1;
        let tally = cgroup.enter(|| inside.run(|| Plan::burst(v4(2, port), 1).run()));
        assert_eq!(tally.refused, 1);
        let query = format!("workload={name}");
        let told = wait::until("a failure", PATIENCE, || {
            let mut all = list(&agent, "").failures.into_iter();
            all.find(|failure| failure.service_port == port)
        });
        told.expect("it is told");
        let mut ours = list(&agent, &query).failures.into_iter();
        ours.find(|failure| failure.service_port == port)
    })
    .expect("it is known");
    let End::Point {
        point,
        acts_for: Some(workload),
    } = &failure.owner
    else {
        panic!("{failure:#?}")
    };
    assert_eq!(point.name, "istio-system/ztunnel");
    assert_eq!(workload.name, name);
    assert_eq!(failure.vantage, Some(Vantage::Own));
    // Who asks for the waypoint sees it, too.
    let called = list(&agent, &format!("point={}/waypoint", waypoint.namespace()));
    assert!(called.failures.contains(&failure), "{called:#?}");
}
