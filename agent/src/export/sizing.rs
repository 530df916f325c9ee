//! How many series a node exports: counted, and compared with the tables of `docs/sizing.md`.

use super::{
    collector::text,
    snapshot::Snapshot,
    synthetic::{Shape, snapshot, workload},
};
use crate::{
    identity::Span,
    metrics::{Detail, DetailPolicy, Details, Format},
    model::{Link, Moment},
    points::{Kind, Mesh},
};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Instant};

/// The number of sidecars beyond which they are minimal, by default.
const SIDECARS: usize = 20;

/// Workloads that each workload calls, and that call it.
const CALLS: usize = 5;

fn series(shapes: &[Shape], pairs: usize, details: Details) -> usize {
    count(snapshot(shapes, pairs, details))
}

fn count(snapshot: Snapshot) -> usize {
    let mut out = String::new();
    text(Arc::new(snapshot), Format::OpenMetrics, &mut out).expect("a text");
    out.lines().filter(|line| !line.starts_with('#')).count()
}

fn point(kind: Kind, mesh: Mesh, name: String, local: bool, (dependents, served): (usize, usize)) -> Shape {
    Shape {
        name,
        kind,
        mesh,
        local,
        dependents,
        served,
        ports: 3,
        // The pod of a sidecar is its workload's, not a point.
        called: kind != Kind::Sidecar,
    }
}

/// A cluster: nodes, and meshed pods of each.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    pods: usize,
    /// Waypoints that pods of one node call.
    waypoints: usize,
}

const SIZES: [Size; 3] = [
    Size {
        nodes: 10,
        pods: 10,
        waypoints: 2,
    },
    Size {
        nodes: 100,
        pods: 30,
        waypoints: 10,
    },
    Size {
        nodes: 500,
        pods: 60,
        waypoints: 20,
    },
];

/// The points of one node.
fn node(mesh: Mesh, ambient: bool, size: Size) -> Vec<Shape> {
    let pods = size.pods;
    let sidecars = || (0..pods).map(|n| point(Kind::Sidecar, mesh, format!("shop/w{n}"), true, (CALLS, 1)));
    match (mesh, ambient) {
        (Mesh::Istio, true) => {
            let ztunnel = point(Kind::Ztunnel, mesh, "istio-system/ztunnel".into(), true, (pods, pods));
            // One of them runs here.
            let callers = pods.div_ceil(2);
            let waypoints = (0..size.waypoints).map(|n| {
                let ends = if n == 0 {
                    (3 * CALLS, CALLS)
                } else {
                    (callers.min(CALLS), 0)
                };
                point(Kind::Waypoint, mesh, format!("team-{n}/waypoint"), n == 0, ends)
            });
            std::iter::once(ztunnel).chain(waypoints).collect()
        }
        (Mesh::Istio, false) => {
            let gateway = point(
                Kind::EgressGateway,
                mesh,
                "istio-system/egress".into(),
                false,
                (pods.div_ceil(2), 0),
            );
            sidecars().chain([gateway]).collect()
        }
        (Mesh::Kuma, _) => {
            let egress = point(Kind::ZoneEgress, mesh, "kuma-system/egress".into(), false, (pods, 0));
            sidecars().chain([egress]).collect()
        }
        (Mesh::Cilium, _) => {
            let proxy = point(
                Kind::NodeProxy,
                mesh,
                "kube-system/cilium-envoy".into(),
                true,
                (pods, pods),
            );
            vec![proxy]
        }
        _ => sidecars().collect(),
    }
}

/// By default: sidecars are minimal where there are many.
fn default(shapes: &[Shape]) -> Details {
    let mut policy = DetailPolicy::new(Detail::Full, &BTreeMap::new(), SIDECARS);
    policy.limit_sidecars(shapes.iter().filter(|shape| shape.kind == Kind::Sidecar).count());
    policy.details()
}

fn with_commas(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| String::from_utf8_lossy(group))
        .collect();
    groups.join(",")
}

/// The series of one more point, by kind and detail.
fn by_point() -> String {
    let mut table = String::from("| one more | `full` | `points` | `minimal` |\n| --- | --- | --- | --- |\n");
    let none = || (0, 0);
    let rows = [
        (
            "point on this node, without traffic by workload",
            Kind::Waypoint,
            true,
            none(),
        ),
        (
            "sidecar on this node, called by 5 workloads",
            Kind::Sidecar,
            true,
            (CALLS, 1),
        ),
        ("point on another node", Kind::Waypoint, false, none()),
    ];
    let mut row = |what: &str, of: &dyn Fn(Details) -> usize| {
        let [full, points, minimal] =
            [Detail::Full, Detail::Points, Detail::Minimal].map(|detail| with_commas(of(Details::all(detail))));
        let _infallible = writeln!(table, "| {what} | {full} | {points} | {minimal} |");
    };
    row("agent without points", &|details| series(&[], 0, details));
    for (what, kind, local, ends) in rows {
        let shape = |n| point(kind, Mesh::Istio, format!("shop/p{n}"), local, ends);
        row(what, &|details| {
            series(&[shape(0), shape(1)], 0, details) - series(&[shape(0)], 0, details)
        });
    }
    let waypoint = |ends| [point(Kind::Waypoint, Mesh::Istio, "shop/waypoint".into(), true, ends)];
    let more = |ends: (usize, usize), fewer, details| {
        series(&waypoint(ends), 0, details) - series(&waypoint(fewer), 0, details)
    };
    row("dependent of a point", &|details| more((2, 0), (1, 0), details));
    row("workload served by a point", &|details| more((0, 2), (0, 1), details));
    row("link of a point to its control plane", &|details| {
        let alone = snapshot(&waypoint(none()), 0, details);
        let mut linked = alone.clone();
        let when = Moment {
            at: Instant::now(),
            span: Span { from: 0, to: 0 },
        };
        let mut link = Link::new(&workload(0), when);
        link.received = Some(0);
        linked.points[0].links.push(link);
        count(linked) - count(alone)
    });
    row("pair of caller and target", &|details| {
        series(&[], 2, details) - series(&[], 1, details)
    });
    table
}

/// The series of a node and a cluster, by mesh and size.
fn by_cluster() -> String {
    let mut table = String::from(
        "| mesh | nodes × pods | node: `full` | `points` | `minimal` | node: default | cluster: default |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, mesh, ambient) in [
        ("Istio ambient", Mesh::Istio, true),
        ("Istio sidecars", Mesh::Istio, false),
        ("Kuma, zone egress", Mesh::Kuma, false),
        ("Linkerd", Mesh::Linkerd, false),
        ("Cilium", Mesh::Cilium, false),
    ] {
        for size in SIZES {
            let shapes = node(mesh, ambient, size);
            let count = |details| series(&shapes, size.pods * CALLS, details);
            let [full, points, minimal] = [Detail::Full, Detail::Points, Detail::Minimal]
                .map(Details::all)
                .map(count);
            let default = count(default(&shapes));
            let numbers = [full, points, minimal, default, default * size.nodes].map(with_commas);
            let Size { nodes, pods, .. } = size;
            let _infallible = writeln!(table, "| {name} | {nodes} × {pods} | {} |", numbers.join(" | "));
        }
    }
    table
}

#[test]
fn the_tables_of_the_documentation_are_what_is_exported() {
    let page = include_str!("../../../docs/sizing.md");
    let tables = [by_point(), by_cluster()];
    let is_there = tables.iter().all(|table| page.contains(table));
    assert!(is_there, "docs/sizing.md should have\n\n{}", tables.join("\n"));
}

#[test]
fn the_limit_of_sidecars_is_the_default_of_the_configuration() {
    assert_eq!(crate::config::Config::default().metrics.sidecars, SIDECARS);
}
