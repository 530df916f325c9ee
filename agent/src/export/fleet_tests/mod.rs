//! Answers about all nodes: whole ones, and partial ones in bounded time.

mod partial;
mod servers;
mod tls;

use super::{
    api::LARGEST,
    snapshot::Snapshot,
    synthetic::{Shape, snapshot},
};
use crate::{
    api::{PointDetail, PointList, Problem, Severity, document},
    draining::Drains,
    failures::{List, example},
    fleet::Nodes,
    metrics::Details,
    points::{Kind, Mesh},
};
use agent_common::Reason;
use axum::body::{Body, to_bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use servers::{Agent, Running};
use std::{net::SocketAddr, time::Instant};
use tokio::net::TcpListener;

/// A waypoint on this node, or one that is known by its callers, and a point of the node's own.
fn node(name: &str, has_waypoint: bool) -> Snapshot {
    let shape = |name: String, kind, local| Shape {
        name,
        kind,
        mesh: Mesh::Istio,
        local,
        dependents: 3,
        served: 2,
        ports: 1,
        called: true,
    };
    let shapes = [
        shape("shop/waypoint".to_owned(), Kind::Waypoint, has_waypoint),
        shape(format!("{name}/ztunnel"), Kind::Ztunnel, true),
    ];
    let mut snapshot = snapshot(&shapes, 5, Details::default());
    for row in &mut snapshot.points {
        row.load.processes = usize::from(row.load.local);
    }
    snapshot
}

/// Connections of callers on this node to the waypoint fail.
fn failing(mut snapshot: Snapshot) -> Snapshot {
    for (point, called) in &mut snapshot.called {
        if point.name.ends_with("/waypoint") {
            (called.opened, called.failures[1]) = (100, 100);
        }
    }
    snapshot
}

async fn ask(address: SocketAddr, target: &str) -> (u16, Value) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let url = format!("http://{address}{target}").parse().expect("a URL");
    let answer = client.get(url).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = to_bytes(Body::new(answer.into_body()), 1 << 26).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn good<T: DeserializeOwned>(agent: &Agent, target: &str) -> T {
    let (status, body) = ask(agent.running.address, target).await;
    assert_eq!(status, 200, "{target}: {body}");
    hold(target, &body);
    serde_json::from_value(body).expect("of this type")
}

/// Holds an answer against the document.
fn hold(target: &str, body: &Value) {
    let document = document();
    let path = target.split('?').next().expect("a path");
    let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    if path.starts_with("/api/v1/points/") {
        return;
    }
    let root = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::validator_for(&root).expect("a schema");
    let errors: Vec<_> = validator
        .iter_errors(body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        schema.is_object() && errors.is_empty(),
        "{target}: {errors:#?}\n{body:#}"
    );
}

fn url(running: &Running) -> String {
    format!("http://{}", running.address)
}

/// Three nodes, of which the last has the waypoint. Callers on the second fail to reach it. The first is asked, has itself and the
/// second one twice among its peers.
async fn three() -> [Agent; 3] {
    let quiet = |name| [node(name, false), node(name, false)];
    let second = Agent::start("b", [node("b", false), failing(node("b", false))], &[]).await;
    let third = Agent::start("c", [node("c", true), node("c", true)], &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address");
    let port = second.running.address.port();
    let peers = [
        format!("http://{own}"),
        url(&second.running),
        // The same one at another address: 127.0.0.1, written for IPv6.
        format!("http://[::ffff:127.0.0.1]:{port}"),
        url(&third.running),
    ];
    let first = Agent::at(listener, "a", quiet("a"), &peers);
    [first, second, third]
}

fn answered(nodes: Option<Nodes>) -> Vec<String> {
    let nodes = nodes.expect("nodes");
    assert_eq!(nodes.missing, []);
    nodes.answered
}

#[tokio::test]
async fn points_of_all_nodes_are_each_told_once_by_trouble() {
    let [first, _second, third] = three().await;
    let list: PointList = good(&first, "/api/v1/points?nodes=all").await;
    assert_eq!(answered(list.nodes), ["a", "b", "c"]);
    let found: Vec<_> = list
        .points
        .iter()
        .map(|point| (&*point.name.name, point.node.as_deref(), point.local))
        .collect();
    // That it is in trouble is seen by callers on another node only.
    assert_eq!(found[0], ("shop/waypoint", Some("c"), true));
    let mut rest = found[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(
        rest,
        [
            ("a/ztunnel", Some("a"), true),
            ("b/ztunnel", Some("b"), true),
            ("c/ztunnel", Some("c"), true)
        ]
    );
    let waypoint = &list.points[0];
    let views: Vec<_> = waypoint
        .views
        .iter()
        .map(|view| (&*view.node, view.trouble.severity))
        .collect();
    assert_eq!(views, [("b", Severity::Critical), ("a", Severity::Ok)]);
    assert_eq!(
        (waypoint.views_total, list.total, list.matched, list.next),
        (2, 6, 6, None)
    );
    let reasons: Vec<_> = waypoint
        .trouble
        .reasons
        .iter()
        .map(|reason| (&*reason.what, &*reason.text))
        .collect();
    let expected = "as seen from b: 50.0 % of its callers' connections to it fail: 20.0 a second";
    assert_eq!(reasons, [("callers_elsewhere", expected)]);
    assert_eq!(waypoint.trouble.severity, Severity::Critical);
    // Parameters hold for all of them.
    let list: PointList = good(&first, "/api/v1/points?nodes=all&kind=ztunnel&search=C/").await;
    assert_eq!(
        list.points.iter().map(|point| &*point.name.name).collect::<Vec<_>>(),
        ["c/ztunnel"]
    );
    // An agent asks nobody unless it is asked to.
    let list: PointList = good(&first, "/api/v1/points?nodes=own").await;
    assert_eq!((list.points.len(), list.nodes), (2, None));
    let own: PointList = good(&third, "/api/v1/points").await;
    assert!(own.points.iter().all(|point| point.node.is_none()));
}

#[tokio::test]
async fn pages_cover_all_nodes() {
    let [first, ..] = three().await;
    let whole: PointList = good(&first, "/api/v1/points?nodes=all").await;
    let (mut found, mut target) = (Vec::new(), "/api/v1/points?nodes=all&limit=1".to_owned());
    for _ in 0..whole.points.len() {
        let page: PointList = good(&first, &target).await;
        found.extend(page.points.into_iter().map(|point| point.name.id));
        match page.next {
            Some(next) => target = format!("/api/v1/points?nodes=all&limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(
        found,
        whole.points.into_iter().map(|point| point.name.id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn failures_and_drains_of_all_nodes_have_the_node() {
    let [first, second, third] = three().await;
    first.ring.push([example("checkout", "shop/waypoint", Reason::Refused)]);
    second.ring.push([
        example("cart", "shop/waypoint", Reason::Refused),
        example("cart", "shop/other", Reason::Refused),
    ]);
    third.ring.push([example("cart", "shop/waypoint", Reason::Refused)]);
    let list: List = good(&first, "/api/v1/failures?nodes=all&point=shop/waypoint").await;
    let mut nodes: Vec<_> = list
        .failures
        .iter()
        .map(|failure| failure.node.as_deref().expect("a node"))
        .collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["a", "b", "c"]);
    assert_eq!(answered(list.nodes), ["a", "b", "c"]);
    let list: List = good(&first, "/api/v1/failures?nodes=all&limit=2").await;
    assert_eq!(list.failures.len(), 2, "of four");
    let drains: Drains = good(&first, "/api/v1/drains?nodes=all").await;
    assert_eq!(answered(drains.nodes), ["a", "b", "c"]);
}

#[tokio::test]
async fn another_nodes_agent_is_asked_through_this_one() {
    let [first, _second, third] = three().await;
    let own: PointList = good(&third, "/api/v1/points?kind=waypoint").await;
    let id = &own.points[0].name.id;
    for _ in 0..2 {
        let detail: PointDetail = good(&first, &format!("/api/v1/points/{id}?node=c")).await;
        assert!(detail.point.local, "as its own agent tells");
    }
    let detail: PointDetail = good(&first, &format!("/api/v1/points/{id}?node=a")).await;
    assert!(!detail.point.local);
    let (status, history) = ask(first.running.address, &format!("/api/v1/history?point={id}&node=c")).await;
    assert_eq!((status, &history["point"]), (200, &json!(id)));
    let refused = |(status, body): (u16, Value)| {
        (
            status,
            serde_json::from_value::<Problem>(body).expect("a problem").error,
        )
    };
    for (target, status, error) in [
        ("/api/v1/points/gone?node=c", 404, "unknown_point"),
        ("/api/v1/points?node=c&colour=red", 400, "unknown_parameter"),
        ("/api/v1/points?node=d", 404, "unknown_node"),
        ("/api/v1/points?node=c&nodes=all", 400, "invalid_parameter"),
        ("/api/v1/points?nodes=some", 400, "invalid_parameter"),
        ("/api/v1/points?nodes=all&after=gone", 400, "invalid_parameter"),
        ("/api/v1/failures?node=c&follow=true", 400, "invalid_parameter"),
        ("/api/v1/failures?nodes=all&follow=true", 400, "invalid_parameter"),
        ("/api/v1/failures?nodes=all&from=3", 400, "invalid_parameter"),
        ("/api/v1/failures?nodes=all&limit=5001", 400, "invalid_parameter"),
    ] {
        let answer = refused(ask(first.running.address, target).await);
        assert_eq!(answer, (status, error.to_owned()), "{target}");
    }
    // Without peers there is nobody to ask.
    for target in [
        "/api/v1/points?nodes=all",
        "/api/v1/drains?nodes=all",
        "/api/v1/failures?nodes=all",
        "/api/v1/status?node=a",
    ] {
        let answer = refused(ask(third.running.address, target).await);
        assert_eq!(answer, (400, "no_peers".to_owned()), "{target}");
    }
}

/// A node of so many points, sidecars.
fn crowded(name: &str, points: usize) -> Snapshot {
    let shapes: Vec<_> = (0..points)
        .map(|n| Shape {
            name: format!("team/{name}-{n:03}"),
            kind: Kind::Sidecar,
            mesh: Mesh::Istio,
            local: true,
            dependents: 3,
            served: 1,
            ports: 1,
            called: false,
        })
        .collect();
    snapshot(&shapes, 5, Details::default())
}

#[tokio::test]
async fn nodes_of_more_points_than_a_page_are_paged_through_whole() {
    let second = Agent::start("b", [crowded("b", 250)], &[]).await;
    let first = Agent::start("a", [crowded("a", 250)], &[url(&second.running)]).await;
    let (mut found, mut target) = (Vec::new(), "/api/v1/points?nodes=all".to_owned());
    for _ in 0..6 {
        let page: PointList = good(&first, &target).await;
        found.extend(page.points.into_iter().map(|point| point.name.id));
        match page.next {
            Some(next) => target = format!("/api/v1/points?nodes=all&after={next}"),
            None => break,
        }
    }
    let mut once = found.clone();
    once.dedup();
    assert_eq!((found.len(), once.len()), (500, 500));
    let bytes = ask(second.running.address, "/api/v1/points").await.1.to_string().len();
    println!("a page of 100 points: {bytes} bytes");
    assert!(bytes < 100 * (LARGEST / 1000), "a thousand points are read");
}

/// What docs/scaling.md says of the cost, for 50 nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_nodes_are_asked_in_a_moment() {
    let mut agents = Vec::new();
    for n in 0..50 {
        let name = format!("n{n:02}");
        agents.push(Agent::start(&name, [crowded(&name, 100)], &[]).await);
    }
    let peers: Vec<_> = agents.iter().map(|agent| url(&agent.running)).collect();
    let first = Agent::start("a", [crowded("a", 100)], &peers).await;
    let begin = Instant::now();
    let list: PointList = good(&first, "/api/v1/points?nodes=all").await;
    println!("51 nodes of 100 points: {:.2} s", begin.elapsed().as_secs_f64());
    let nodes = list.nodes.expect("nodes");
    assert_eq!(
        (nodes.answered.len(), nodes.missing, list.matched),
        (51, Vec::new(), 5_100)
    );
    assert_eq!(list.points.len(), 100);
}
