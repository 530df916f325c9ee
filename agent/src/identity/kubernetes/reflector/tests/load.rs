//! What an agent costs the API server of a cluster of 500 nodes: requests and bytes, counted by the API server of the testbed.
//! `docs/scaling.md` has these figures; `--nocapture` shows them.

use super::*;
use narrows_testbed::kubernetes::manifests::{self, Pod};
use std::fs;

const NODES: usize = 500;
const PODS: usize = 20_000;
const SERVICES: usize = 1_000;
const NAMESPACES: usize = 100;

/// Every 40th pod is on the agent's node.
const PODS_OF_A_NODE: usize = PODS / NODES;

/// A cluster of this size, half of whose pods are in an Istio mesh: a quarter with sidecars, a quarter without.
fn fill(server: &ApiServer) {
    let namespaces = (0..NAMESPACES).map(|n| manifests::namespace(&format!("team-{n}"), &[]));
    server.put_all(Resource::Namespaces, namespaces);
    let services = (0..SERVICES).map(|n| {
        let (name, address) = (format!("service-{n}"), format!("172.20.{}.{}", n >> 8, n & 255));
        manifests::service(
            &format!("team-{}", n % NAMESPACES),
            &name,
            &[("app", &name)],
            &[&address],
        )
    });
    server.put_all(Resource::Services, services);
    for n in 0..NODES {
        server.put(Resource::Nodes, node(n));
    }
    let kinds = ["istio-sidecar", "istio-ambient-app", "deployment", "statefulset"].map(|name| {
        let mut pod = Pod::of(name);
        manifests::complete_pod(&mut pod.0);
        pod
    });
    for n in 0..PODS {
        server.put(Resource::Pods, pod_of(&kinds[n % kinds.len()], n).into_value());
    }
}

fn node(n: usize) -> serde_json::Value {
    let address = format!("192.168.{}.{}", n >> 8, n & 255);
    let mut node = manifests::node(&format!("n{n}"), &[&address], "10.0.0.0/24");
    manifests::complete_node(&mut node);
    node
}

fn pod_of(kind: &Pod, n: usize) -> Pod {
    let workload = format!("workload-{}", n % SERVICES);
    kind.clone()
        .named(
            &format!("team-{}", n % NAMESPACES),
            &format!("{workload}-6d7f8b9c5-{n:05x}"),
        )
        .uid(&format!("{:08x}-77aa-4f10-9c3e-{n:012x}", (n * 0x9e37) & 0xffff_ffff))
        .node(&format!("n{}", n % NODES))
        .ip(&[&format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)])
}

/// The size of an event of a watch.
async fn event(scene: &Scene, selector: Option<&str>, resource: Resource, change: impl FnOnce()) -> u64 {
    let bytes = || {
        let watches = scene.asked(Asks::Watch, selector);
        let of = watches.iter().filter(|watch| watch.resource == Some(resource));
        of.map(Asked::bytes).sum::<u64>()
    };
    let before = bytes();
    change();
    scene.until("the event", || bytes() > before).await;
    bytes() - before
}

/// Requests and bytes of each list, and in all.
fn lists(scene: &Scene) -> Vec<(usize, f64)> {
    let mut rows: Vec<_> = SOURCES
        .iter()
        .map(|source| {
            let fields = Place::new(*source, "n1", None).fields;
            let asked = scene.asked(Asks::List, fields.as_deref());
            let of = asked
                .iter()
                .filter(|asked| asked.resource.map(Resource::plural) == Some(source.resource()));
            let bytes: Vec<_> = of.map(Asked::bytes).collect();
            (bytes.len(), bytes.iter().sum::<u64>() as f64 / 1e6)
        })
        .collect();
    rows.push(rows.iter().fold((0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1)));
    rows
}

/// Starts to read everything. The bytes of everything that has been read, compressed or not.
async fn read(is_plain: bool) -> Scene {
    let scene = Scene::with(is_plain).await;
    scene.server.bookmark_every(Duration::from_secs(3_600));
    fill(&scene.server);
    for source in SOURCES {
        scene.follow(source);
    }
    for (resource, watches) in [
        (Resource::Namespaces, 1),
        (Resource::Services, 1),
        (Resource::Nodes, 1),
        (Resource::Pods, 2),
    ] {
        scene.watched(resource, watches).await;
    }
    scene
}

#[tokio::test]
async fn an_agent_asks_for_what_the_document_says() {
    let (compressed, plain) = (read(false).await, read(true).await);
    let (compressed_lists, plain_lists) = (lists(&compressed), lists(&plain));
    let mut rows = Vec::new();
    let names = SOURCES.map(|source| format!("`{}`", source.label()));
    let names = names.into_iter().chain(["in all".to_owned()]);
    for ((name, (requests, bytes)), (same, plain)) in names.zip(compressed_lists).zip(plain_lists) {
        assert_eq!(requests, same, "{name}");
        rows.push(format!("| {name} | {requests} | {plain:.2} | {bytes:.2} |"));
    }

    let Scene { server, shared, .. } = &compressed;
    let known = shared.directory().count(Source::ClusterPods);
    assert_eq!(known, PODS - PODS_OF_A_NODE);
    let mut sizes = Vec::new();
    for name in ["istio-sidecar", "deployment"] {
        let mut pod = Pod::of(name);
        manifests::complete_pod(&mut pod.0);
        let change = || server.put(Resource::Pods, pod_of(&pod, 2).into_value());
        sizes.push(event(&compressed, OTHERS, Resource::Pods, change).await);
    }
    let beat = event(&compressed, None, Resource::Nodes, || {
        server.put(Resource::Nodes, node(2));
    })
    .await;
    for (what, bytes) in [
        ("a pod with a sidecar changes", sizes[0]),
        ("a pod without a mesh changes", sizes[1]),
        ("a node reports its state", beat),
    ] {
        rows.push(format!("| {what} | {:.1} |", bytes as f64 / 1e3));
    }
    println!("{}", rows.join("\n"));
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scaling.md");
    let document = fs::read_to_string(document).expect("the document");
    for row in rows {
        let (name, found) = cells(&row);
        // Another table has the same names, without figures.
        let rows = document.lines().map(cells);
        let stated = rows.filter(|(stated, figures)| *stated == name && figures.len() == found.len());
        let stated: Vec<_> = stated.collect();
        assert_eq!(stated.len(), 1, "rows like {row} in docs/scaling.md");
        // Versions and times of objects differ from run to run, and compress differently.
        let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= 0.011 + 0.02 * a;
        assert!(
            found.iter().zip(&stated[0].1).all(is_close),
            "docs/scaling.md: {:?}, measured: {row}",
            stated[0]
        );
    }
}

/// A row of a table: what it is about, and its figures.
fn cells(row: &str) -> (String, Vec<f64>) {
    let mut cells = row.trim_matches('|').split('|').map(str::trim);
    let name = cells.next().unwrap_or_default().to_owned();
    (name, cells.filter_map(|cell| cell.parse().ok()).collect())
}
