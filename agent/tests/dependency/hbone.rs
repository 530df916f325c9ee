//! A network policy that lets a pod's own port through and drops packets to the port of HBONE, beside a pod that is dead and one that
//! anybody reaches.

use super::{
    call,
    common::{World, expect, inventory, start, v4},
    serve,
};
use narrows_testbed::{
    cgroup::Cgroup,
    load::Plan,
    workload::Workload,
    ztunnel::{Config, Ztunnel},
};
use std::net::SocketAddr;

const UNANSWERED: &str = "narrows_hbone_unanswered_connections_total";
const BLOCKED: &str = "narrows_hbone_blocked_connections_total";

/// The port of HBONE.
const HBONE: u16 = 15008;

/// A connection that the kernel gives up after three seconds: with `tcp_syn_retries` of 1.
#[track_caller]
fn time_out(from: &Workload, to: SocketAddr) {
    let plan = Plan {
        patience_ms: 30_000,
        ..Plan::burst(to, 1)
    };
    assert_eq!(from.run(|| plan.run()).timed_out, 1);
}

fn pair<'a>(source: &'a str, destination: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("source_workload_namespace", "shop"),
        ("source_workload", source),
        ("destination_workload_namespace", "shop"),
        ("destination_workload", destination),
    ]
}

#[test]
fn a_policy_that_drops_hbone_is_told_from_a_dead_pod() {
    let world = World::new();
    let [checkout, gateway, probe] =
        [("checkout", 11), ("gateway", 12), ("probe", 13)].map(|(name, n)| world.workload(name, n));
    let [catalog, dead, orders] =
        [("catalog", 21), ("dead", 22), ("orders", 23)].map(|(name, n)| world.workload(name, n));
    let ztunnel = Cgroup::new(&format!("{}/ztunnel", world.top)).expect("a cgroup");
    let mut text = inventory(&[&checkout, &gateway, &probe, &catalog, &dead, &orders], &[]);
    text += &format!(
        "points:\n  - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: {} }}\n",
        ztunnel.path()
    );
    let agent = start(&text);
    let _servers = [
        serve(&catalog, v4(21, 8080)),
        serve(&catalog, v4(21, HBONE)),
        serve(&orders, v4(23, 8080)),
        serve(&orders, v4(23, HBONE)),
    ];
    let policy = format!("iptables -A INPUT -p tcp --dport {HBONE} -j DROP");
    catalog.netns.exec(&policy).expect("a packet filter");
    dead.netns.exec("iptables -A INPUT -j DROP").expect("a packet filter");
    for workload in [&gateway, &probe] {
        workload.netns.sysctl("net/ipv4/tcp_syn_retries", "1").expect("set");
    }
    // What `checkout` opens is captured and sent to `catalog` by its ztunnel, which gives up after ten seconds, as the real one does.
    let config = Config {
        netns: vec![checkout.netns.path().to_owned()],
        waypoint: Some(v4(21, HBONE)),
        raw: true,
    };
    let mut tunnel = Ztunnel::start_with(&ztunnel, &[&checkout.netns], &config).expect("a ztunnel");
    for round in 1..=2 {
        let captured = Plan {
            patience_ms: 30_000,
            ..Plan::burst(v4(200, 80), 1)
        };
        assert_eq!(checkout.run(|| captured.run()).ok, 0);
        time_out(&gateway, v4(21, HBONE));
        time_out(&gateway, v4(22, HBONE));
        call(&gateway, v4(23, HBONE), 5);
        let n = f64::from(round);
        agent.wait_for("all attempts", |metrics| metrics.sum(UNANSWERED, &[]) == 3.0 * n);
        // As a kubelet does.
        call(&probe, v4(21, 8080), 1);
        call(&probe, v4(23, 8080), 1);
        time_out(&probe, v4(22, 8080));
        agent.settle();
    }
    assert_eq!(tunnel.tally().expect("a tally").timed_out, 2);
    expect(
        &agent.settle(),
        &[
            (UNANSWERED, &pair("checkout", "catalog"), 2.0),
            (UNANSWERED, &pair("gateway", "catalog"), 2.0),
            (UNANSWERED, &pair("gateway", "dead"), 2.0),
            (UNANSWERED, &[], 6.0),
            (BLOCKED, &pair("checkout", "catalog"), 2.0),
            (BLOCKED, &pair("gateway", "catalog"), 2.0),
            (BLOCKED, &[], 4.0),
        ],
    );
    // The policy is corrected.
    catalog
        .netns
        .exec(&policy.replace("-A", "-D"))
        .expect("a packet filter");
    call(&gateway, v4(21, HBONE), 5);
    call(&probe, v4(21, 8080), 1);
    expect(&agent.settle(), &[(UNANSWERED, &[], 6.0), (BLOCKED, &[], 4.0)]);
}
