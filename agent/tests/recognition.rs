//! Every row of the table of enforcement points: pods as their meshes write them, in cgroups as a runtime lays them out. Each
//! is recognised by its own sockets where it runs, and by its address where it is called.

mod common;

use common::{
    cluster::{Cluster, Running},
    v4,
};
use narrows_testbed::{
    kubernetes::manifests,
    load::{Behaviour, Plan, Server},
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

/// Manifest, its proxy's container, and what it is: kind, mesh, point.
const ROWS: [[&str; 5]; 28] = [
    [
        "istio-ztunnel",
        "istio-proxy",
        "ztunnel",
        "istio",
        "istio-system/ztunnel",
    ],
    ["istio-waypoint", "istio-proxy", "waypoint", "istio", "{label}"],
    [
        "istio-waypoint-agentgateway",
        "agentgateway",
        "waypoint",
        "istio",
        "{label}",
    ],
    ["kgateway-waypoint", "kgateway-proxy", "waypoint", "istio", "{label}"],
    ["agentgateway-waypoint", "agentgateway", "waypoint", "istio", "{label}"],
    [
        "istio-east-west-gateway",
        "istio-proxy",
        "east_west_gateway",
        "istio",
        "{label}",
    ],
    [
        "istio-gateway-api-gateway",
        "istio-proxy",
        "ingress_gateway",
        "istio",
        "{label}",
    ],
    [
        "istio-ingressgateway",
        "istio-proxy",
        "ingress_gateway",
        "istio",
        "{workload}",
    ],
    [
        "istio-egressgateway",
        "istio-proxy",
        "egress_gateway",
        "istio",
        "{workload}",
    ],
    ["istio-sidecar", "istio-proxy", "sidecar", "istio", "{workload}"],
    ["istio-sidecar-native", "istio-proxy", "sidecar", "istio", "{workload}"],
    ["kuma2-sidecar", "kuma-sidecar", "sidecar", "kuma", "{workload}"],
    ["kuma2-zone-ingress", "ingress", "zone_ingress", "kuma", "{workload}"],
    ["kuma2-zone-egress", "egress", "zone_egress", "kuma", "{workload}"],
    ["kuma3-sidecar", "kuma-sidecar", "sidecar", "kuma", "{workload}"],
    [
        "kuma3-zone-ingress",
        "kuma-sidecar",
        "zone_ingress",
        "kuma",
        "{workload}",
    ],
    ["kuma3-zone-egress", "kuma-sidecar", "zone_egress", "kuma", "{workload}"],
    ["linkerd-sidecar", "linkerd-proxy", "sidecar", "linkerd", "{workload}"],
    [
        "linkerd-sidecar-native",
        "linkerd-proxy",
        "sidecar",
        "linkerd",
        "{workload}",
    ],
    ["cilium-envoy", "cilium-envoy", "node_proxy", "cilium", "{workload}"],
    // The container's name and arguments are those of Istio's.
    [
        "cilium-ztunnel",
        "istio-proxy",
        "ztunnel",
        "cilium",
        "kube-system/ztunnel-cilium",
    ],
    ["consul-sidecar", "consul-dataplane", "sidecar", "consul", "{workload}"],
    [
        "consul-mesh-gateway",
        "mesh-gateway",
        "east_west_gateway",
        "consul",
        "{workload}",
    ],
    [
        "consul-ingress-gateway",
        "ingress-gateway",
        "ingress_gateway",
        "consul",
        "{workload}",
    ],
    [
        "consul-terminating-gateway",
        "terminating-gateway",
        "egress_gateway",
        "consul",
        "{workload}",
    ],
    [
        "consul-api-gateway",
        "public",
        "ingress_gateway",
        "consul",
        "{workload}",
    ],
    // In no mesh, or in one that needs no proxy in the pod.
    ["istio-ambient-app", "", "", "", ""],
    ["deployment", "", "", "", ""],
];

/// Pods of the plain kinds of owners.
const PLAIN: [&str; 9] = [
    "argo-rollout",
    "job",
    "cronjob-job",
    "statefulset",
    "daemonset",
    "bare",
    "static",
    "replicationcontroller",
    "crd-owned",
];

struct Row {
    manifest: &'static str,
    container: String,
    kind: &'static str,
    mesh: &'static str,
    point: String,
    instance: String,
    address: u8,
    pod: Running,
}

impl Row {
    fn new(cluster: &Cluster, row: &[&'static str; 5], address: u8) -> Self {
        let [manifest, container, kind, mesh, point] = *row;
        let instance = format!("{manifest}-{address}");
        let pod = cluster.pod(manifest, &instance, address);
        let gateway = &pod.object.0["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"];
        let point = match point {
            "{workload}" => format!("{}/{}", pod.namespace(), pod.workload()),
            "{label}" => format!("{}/{}", pod.namespace(), gateway.as_str().expect("a gateway's name")),
            other => other.to_owned(),
        };
        let container = if container.is_empty() {
            pod.first()
        } else {
            container.to_owned()
        };
        Self {
            manifest,
            container,
            kind,
            mesh,
            point,
            instance,
            address,
            pod,
        }
    }

    fn is_shared(&self) -> bool {
        !matches!(self.kind, "sidecar" | "")
    }

    /// Where it can be reached: pods on the host's network have no address of their own here, but a port each.
    fn target(&self) -> SocketAddr {
        match self.pod.sim.netns() {
            Some(_) => v4(self.address, 8080),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 18000 + u16::from(self.address))),
        }
    }
}

#[test]
fn the_table_has_every_manifest() {
    let rows = ROWS.iter().map(|row| row[0]).chain(PLAIN);
    assert_eq!(rows.collect::<BTreeSet<_>>(), manifests::ALL.iter().copied().collect());
}

#[test]
fn every_row_is_recognised() {
    let cluster = Cluster::new();
    let caller = cluster.pod("deployment", "caller-1", 11);
    let agent = cluster.start(&[]);
    let rows: Vec<_> = ROWS
        .iter()
        .zip(20..)
        .map(|(row, n)| Row::new(&cluster, row, n))
        .collect();
    let listening: Vec<_> = rows
        .iter()
        .map(|row| {
            let begin = || Server::start(row.target(), Behaviour::default());
            row.pod.run(&row.container, begin).expect("it listens")
        })
        .collect();
    for row in &rows {
        // Each is called twice by another pod, where it has an address, and calls itself three times.
        if row.pod.sim.netns().is_some() {
            assert_eq!(
                caller.run("inventory", || Plan::burst(row.target(), 2).run()).ok,
                2,
                "{}",
                row.manifest
            );
        }
        assert_eq!(
            row.pod.run(&row.container, || Plan::burst(row.target(), 3).run()).ok,
            3,
            "{}",
            row.manifest
        );
    }
    let points = rows.iter().filter(|row| !row.kind.is_empty()).count() as f64;
    let metrics = agent.wait_for("what they opened", |m| {
        m.sum("narrows_connections_opened_total", &[("side", "upstream")]) == 3.0 * points
    });
    for row in &rows {
        let labels = [
            ("instance_pod", row.instance.as_str()),
            ("point", &row.point),
            ("kind", row.kind),
            ("mesh", row.mesh),
            ("side", "upstream"),
        ];
        let opened = |labels: &[(&str, &str)]| metrics.sum("narrows_connections_opened_total", labels);
        let all = metrics.listing("narrows_connections_opened_total");
        if row.kind.is_empty() {
            assert_eq!(opened(&labels[..1]), 0.0, "{} is no point\n{all}", row.manifest);
        } else {
            assert_eq!(opened(&labels), 3.0, "{} is {:?}\n{all}", row.manifest, &labels[1..4]);
            // And nothing else besides.
            assert_eq!(opened(&[labels[0], labels[4]]), 3.0, "{}", row.manifest);
        }
    }
    // By their addresses: shared points are called, by the other pod and by themselves; workloads with a sidecar are not.
    let shared: Vec<_> = rows
        .iter()
        .filter(|row| row.is_shared() && row.pod.sim.netns().is_some())
        .collect();
    let called = "narrows_client_connections_opened_total";
    let metrics = agent.wait_for("all calls", |m| m.sum(called, &[]) >= 5.0 * shared.len() as f64);
    let mut expected = std::collections::BTreeMap::<(&str, &str), f64>::new();
    for row in &shared {
        *expected.entry((&row.point, row.kind)).or_default() += 5.0;
    }
    for ((point, kind), n) in &expected {
        let found = metrics.sum(called, &[("point", point), ("kind", kind)]);
        assert_eq!(found, *n, "calls to {point}\n{}", metrics.listing(called));
    }
    assert_eq!(metrics.sum(called, &[("kind", "sidecar")]), 0.0);
    drop(listening);
}

#[test]
fn the_users_rules_come_first() {
    let cluster = Cluster::new();
    let configuration = cluster.configuration(
        "points:\n  rules:\n    - { labels: { app: inventory }, kind: egress_gateway, point: '{namespace}/edge-{workload}' }\n    \
         - { container: istio-proxy, labels: { gateway.networking.k8s.io/gateway-name: '*' }, kind: node_proxy }\n",
    );
    let agent = cluster.start(&["--config", &configuration]);
    let edge = cluster.pod("deployment", "edge-1", 11);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 12);
    let _server = waypoint
        .run("istio-proxy", || Server::start(v4(12, 8080), Behaviour::default()))
        .expect("it listens");
    assert_eq!(edge.run("inventory", || Plan::burst(v4(12, 8080), 4).run()).ok, 4);
    let opened = |m: &narrows_testbed::scrape::Metrics, point: &str, kind: &str| {
        m.sum("narrows_connections_opened_total", &[("point", point), ("kind", kind)])
    };
    agent.wait_for("both as the user's rules have it", |m| {
        opened(m, "shop/edge-inventory", "egress_gateway") == 4.0 && opened(m, "shop/waypoint", "node_proxy") == 4.0
    });
}
