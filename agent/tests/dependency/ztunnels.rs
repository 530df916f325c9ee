//! Three nodes, each with its ztunnel and its agent, and a real Prometheus: one ztunnel ends.

use super::{
    common::{World, binary, v4},
    serve, watch,
};
use narrows_testbed::{
    actor::Actor,
    agent::Agent,
    cgroup::Cgroup,
    load::Plan,
    workload::Workload,
    ztunnel::{Config, Ztunnel},
};
use std::{fmt::Write as _, net::SocketAddr, time::Duration};

/// `for: 5m` is ten seconds.
const LONGEST: Duration = Duration::from_secs(90);

/// A node with two workloads.
struct Node {
    name: &'static str,
    workloads: [Workload; 2],
    ztunnel: Cgroup,
}

impl Node {
    fn inventory(&self) -> String {
        let mut text = String::from("workloads:\n");
        for workload in &self.workloads {
            let (name, netns, cgroup) = (workload.netns.name(), workload.netns.path(), workload.cgroup.path());
            writeln!(
                text,
                "  - {{ name: {name}, namespace: shop, addresses: [{}], netns: {}, cgroup: {cgroup} }}",
                workload.addresses[0],
                netns.display()
            )
            .expect("written");
        }
        write!(
            text,
            "points:\n  - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, instance_pod: ztunnel-{}, cgroup: {} }}\n  \
             - {{ name: waypoint, namespace: shop, kind: waypoint, mesh: istio, addresses: [10.90.0.2] }}\n",
            self.name,
            self.ztunnel.path()
        )
        .expect("written");
        text
    }

    fn start_ztunnel(&self, waypoint: SocketAddr) -> Ztunnel {
        let spaces = self.workloads.each_ref().map(|workload| &workload.netns);
        let config = Config {
            netns: spaces.map(|netns| netns.path().to_owned()).into(),
            waypoint: Some(waypoint),
            raw: true,
        };
        Ztunnel::start_with(&self.ztunnel, &spaces, &config).expect("a ztunnel")
    }
}

#[test]
fn a_ztunnel_that_ends_is_missed_on_its_node_by_its_workloads() {
    let world = World::new();
    let node = |name, workloads: [(&str, u8); 2]| Node {
        name,
        workloads: workloads.map(|(name, n)| world.workload(name, n)),
        ztunnel: Cgroup::new(&format!("{}/ztunnel-{name}", world.top)).expect("a cgroup"),
    };
    let nodes = [
        node("one", [("a", 11), ("b", 12)]),
        node("two", [("c", 13), ("d", 14)]),
        node("three", [("e", 15), ("f", 16)]),
    ];
    let gateway = world.workload("gateway", 2);
    let _server = serve(&gateway, v4(2, 15008));
    let mut ztunnels = nodes.each_ref().map(|node| Some(node.start_ztunnel(v4(2, 15008))));
    let agents = nodes
        .each_ref()
        .map(|node| Agent::start(binary(), &node.inventory(), &[]).expect("an agent"));
    let prometheus = watch(nodes.iter().map(|node| node.name).zip(&agents));
    let plan = Plan {
        rate: 4.0,
        count: None,
        // To an address that nobody has: the ztunnel carries it to the waypoint.
        ..Plan::burst(v4(200, 80), 0)
    };
    let clients: Vec<_> = (nodes.iter())
        .flat_map(|node| &node.workloads)
        .map(|workload| Actor::client(workload, &plan).expect("a client"))
        .collect();
    let wait = |what: &str, expression: &str| {
        prometheus
            .wait_for(what, LONGEST, expression)
            .unwrap_or_else(|error| panic!("{error:#}\n{:#?}\n{}", prometheus.firing(), prometheus.log()))
    };
    wait(
        "each node's ztunnel with its two dependents",
        "count(narrows_point:dependents:count{kind=\"ztunnel\"} == 2) == 3 and on () count(narrows_point:instances:count) == 3",
    );

    drop(ztunnels[1].take());
    let missing = "ALERTS{alertname=\"NarrowsPointMissing\",alertstate=\"firing\"}";
    wait("the alert", missing);
    let firing = prometheus.firing().expect("an answer");
    let about: Vec<_> = (firing.iter())
        .filter(|alert| alert["alertname"] == "NarrowsPointMissing")
        .map(|alert| {
            (
                alert["node"].as_str(),
                alert["severity"].as_str(),
                alert["namespace"].as_str(),
            )
        })
        .collect();
    assert_eq!(about, [("two", "critical", "istio-system")], "{firing:#?}");
    let said = &firing
        .iter()
        .find(|alert| alert["alertname"] == "NarrowsPointMissing")
        .expect("it fires")["description"];
    assert!(said.contains("Blast radius: 2 dependents: shop/c, shop/d;"), "{said}");
    // Whatever else is said of ztunnels is of that node, too.
    for alert in &firing {
        let other = alert.get("kind").is_some_and(|kind| kind == "ztunnel") && alert["node"] != "two";
        assert!(!other, "{alert:#?}");
    }

    ztunnels[1] = Some(nodes[1].start_ztunnel(v4(2, 15008)));
    wait("the alert to end", &format!("absent({missing})"));
    assert_eq!(prometheus.broken_rules().expect("an answer"), vec![]);
    drop(clients);
}
