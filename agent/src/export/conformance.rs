//! Every answer of the served API is held against its document.

mod missing;
mod paths;

use super::{
    api::Fleet,
    http::{Api, Arrival, Service},
    publish::Publisher,
    snapshot::Snapshot,
    synthetic::{Shape, snapshot},
};
use crate::{
    api::{Severity, document, point_id},
    failures::{Ring, example},
    metrics::Details,
    model::Share,
    points::{Kind, Mesh},
};
use agent_common::Reason;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{Method, Request, StatusCode},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tower::ServiceExt as _;

fn shape(n: usize) -> Shape {
    let kinds = [Kind::Ztunnel, Kind::Waypoint, Kind::Sidecar, Kind::IngressGateway];
    Shape {
        name: format!("team-{}/point-{n}", n % 2),
        kind: kinds[n % kinds.len()],
        mesh: if n % 5 == 4 { Mesh::Kuma } else { Mesh::Istio },
        local: n % 3 != 2,
        dependents: 4 + n,
        served: 3,
        ports: 2,
        called: n.is_multiple_of(2),
    }
}

/// Eight points after two ticks that are five seconds apart.
fn node() -> (Publisher, Vec<String>) {
    let shapes: Vec<_> = (0..8).map(shape).collect();
    let at = |tick: u64| {
        let mut snapshot = snapshot(&shapes, 20, Details::default());
        snapshot.tick.number = tick;
        snapshot.tick.time = 1_764_000_000_000 + 5_000 * tick.cast_signed();
        for row in &mut snapshot.points {
            row.load.processes = usize::from(row.load.local);
            row.load.downstream.opened = 50 * tick;
            row.load.upstream.failures = Default::default();
            row.load.downstream.failures = Default::default();
            for endpoint in &mut row.dependents.rows {
                endpoint.row.tally.connections = 10 * tick;
            }
            let rest = Share {
                connections: 30 * tick,
                ..Share::default()
            };
            row.dependents.rest = vec![("_other", rest)];
        }
        snapshot
    };
    let ids = at(0).points.iter().map(|row| point_id(&row.load.point)).collect();
    (published([at(1), at(2)]), ids)
}

fn published(snapshots: impl IntoIterator<Item = Snapshot>) -> Publisher {
    let mut publisher = Publisher::new(Duration::from_secs(5));
    let begin = Instant::now();
    for (n, snapshot) in (0..).zip(snapshots) {
        publisher.publish(snapshot, begin + Duration::from_secs(5) * n);
    }
    publisher
}

/// Failures of every reason, of a caller and of a point.
fn ring() -> Ring {
    let ring = Ring::new(100, 0);
    let both = Reason::ALL.into_iter().flat_map(|reason| {
        [
            example("checkout", "shop/waypoint", reason),
            example("team-0/a", "team-0/point-0", reason),
        ]
    });
    ring.push(both);
    ring
}

struct Server {
    router: Router,
    /// What those get who do not come over loopback.
    elsewhere: Router,
    document: Value,
}

impl Server {
    fn new(publisher: &Publisher) -> Self {
        let service = Service::new(publisher.published().clone(), Arc::new(ring()), Fleet::alone("node-1"));
        let arrival = MockConnectInfo(Arrival::local());
        Self {
            elsewhere: service.router(Api::Loopback).layer(MockConnectInfo(Arrival::remote())),
            router: service.router(Api::Open).layer(arrival),
            document: document(),
        }
    }

    async fn ask(&self, method: Method, target: &str) -> (StatusCode, Value) {
        Self::ask_of(&self.router, method, target).await
    }

    async fn ask_of(router: &Router, method: Method, target: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .body(Body::empty())
            .expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 24).await.expect("a body");
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).expect("JSON")
        };
        (status, value)
    }

    /// Asks, and holds the answer against the document.
    async fn get(&self, target: &str) -> (StatusCode, Value) {
        let (status, body) = self.ask(Method::GET, target).await;
        self.hold(target, status, &body);
        (status, body)
    }

    /// Holds an answer against the document.
    fn hold(&self, target: &str, status: StatusCode, body: &Value) {
        let path = target.split('?').next().expect("a path");
        let path = if path.starts_with("/api/v1/points/") {
            "/api/v1/points/{id}"
        } else {
            path
        };
        let code = status.as_u16().to_string();
        let response = &self.document["paths"][path]["get"]["responses"][&code];
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{target}: {code} is not in the document: {body}");
        let root = json!({ "allOf": [schema], "components": self.document["components"] });
        let validator = jsonschema::validator_for(&root).expect("a schema");
        let errors: Vec<_> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{target}: {errors:#?}\n{body:#}");
    }

    async fn good(&self, target: &str) -> Value {
        let (status, body) = self.get(target).await;
        assert_eq!(status, StatusCode::OK, "{target}: {body}");
        body
    }
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let (publisher, ids) = node();
    let server = Server::new(&publisher);
    for target in [
        "/api/v1/points",
        "/api/v1/points?kind=waypoint&mesh=istio&namespace=team-1&search=POINT",
        "/api/v1/workloads",
        "/api/v1/workloads?search=workload-1&namespace=team-1",
        "/api/v1/paths",
        "/api/v1/paths?group=namespace&active=true&limit=3",
        "/api/v1/paths?kind=waypoint&mesh=istio&namespace=team-1&search=POINT",
        "/api/v1/drains",
        "/api/v1/status",
        "/api/v1/failures",
        "/api/v1/failures?point=team-0/point-0&workload=team-0/a&reason=refused&since=5m&limit=3&from=1&follow=false&run=1",
    ] {
        server.good(target).await;
    }
    for id in &ids {
        let detail = server.good(&format!("/api/v1/points/{id}")).await;
        assert_eq!(detail["point"]["id"], json!(id));
        server.good(&format!("/api/v1/paths?point={id}")).await;
        server.good(&format!("/api/v1/workloads?point={id}")).await;
        let is_local = detail["point"]["local"] == json!(true);
        let (status, history) = server.get(&format!("/api/v1/history?point={id}")).await;
        match is_local {
            true => {
                assert_eq!(status, StatusCode::OK);
                assert_eq!(history["time_seconds"], json!([1_764_000_005.0, 1_764_000_010.0]));
                assert_eq!(history["lines"]["downstream_opened_per_second"], json!([null, 10.0]));
                let newer = server
                    .good(&format!("/api/v1/history?point={id}&after_seconds=1764000005"))
                    .await;
                assert_eq!(newer["time_seconds"], json!([1_764_000_010.0]));
            }
            false => assert_eq!(
                (status, &history["error"]),
                (StatusCode::NOT_FOUND, &json!("no_history"))
            ),
        }
    }
}

#[tokio::test]
async fn before_the_first_tick_nothing_is_said_to_be_empty() {
    let server = Server::new(&published([]));
    for path in ["points", "points/x", "workloads", "paths", "history?point=x", "drains"] {
        let (status, body) = server.get(&format!("/api/v1/{path}")).await;
        assert_eq!((status.as_u16(), &body["error"]), (503, &json!("starting")), "{path}");
    }
    // Neither is about a tick.
    for path in ["status", "failures"] {
        server.good(&format!("/api/v1/{path}")).await;
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_explained() {
    let (publisher, ids) = node();
    let server = Server::new(&publisher);
    for (target, status, error) in [
        ("/api/v1/points?colour=red", 400, "unknown_parameter"),
        ("/api/v1/points?limit=0", 400, "invalid_parameter"),
        ("/api/v1/points?kind=lamp", 400, "invalid_parameter"),
        ("/api/v1/points?after=gone", 400, "invalid_parameter"),
        ("/api/v1/points/istio~waypoint~a__b~c", 404, "unknown_point"),
        ("/api/v1/workloads?point=gone", 404, "unknown_point"),
        ("/api/v1/workloads?kind=lamp", 400, "unknown_parameter"),
        ("/api/v1/paths?point=gone", 404, "unknown_point"),
        ("/api/v1/paths?group=mesh", 400, "invalid_parameter"),
        ("/api/v1/paths?kind=lamp", 400, "invalid_parameter"),
        ("/api/v1/paths?after=gone", 400, "invalid_parameter"),
        ("/api/v1/history", 400, "invalid_parameter"),
        ("/api/v1/history?point=gone", 404, "unknown_point"),
        ("/api/v1/status?x=1", 400, "unknown_parameter"),
        ("/api/v1/drains?x=1", 400, "unknown_parameter"),
        ("/api/v1/failures?pont=a", 400, "unknown_parameter"),
        ("/api/v1/failures?reason=bored", 400, "invalid_parameter"),
        ("/api/v1/history?point=gone&after_seconds=NaN", 400, "invalid_parameter"),
    ] {
        let (found, body) = server.get(target).await;
        assert_eq!(
            (found.as_u16(), &body["error"]),
            (status, &json!(error)),
            "{target}: {body}"
        );
    }
    let (status, body) = server.get(&format!("/api/v1/points/{}?x=1", ids[0])).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("unknown_parameter")));
    for target in ["/api/v2/points", "/api/v1/point"] {
        let (status, body) = server.ask(Method::GET, target).await;
        assert_eq!((status.as_u16(), &body["error"]), (404, &json!("unknown_path")));
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        for target in ["/api/v1/points", "/api/v1/status", "/api/v1/drains", "/api/v1/failures"] {
            let (status, body) = server.ask(method.clone(), target).await;
            assert_eq!(
                (status.as_u16(), &body["error"]),
                (405, &json!("method_not_allowed")),
                "{method} {target}"
            );
        }
    }
    let (status, body) = server.ask(Method::HEAD, "/api/v1/points").await;
    assert_eq!((status, body), (StatusCode::OK, Value::Null));
}

#[tokio::test]
async fn who_asks_at_another_address_is_told_where_the_api_is() {
    let server = Server::new(&published([]));
    for path in server.document["paths"].as_object().expect("paths").keys() {
        let target = path.replace("{id}", "a");
        let (status, body) = Server::ask_of(&server.elsewhere, Method::GET, &target).await;
        assert_eq!(
            (status.as_u16(), &body["error"]),
            (421, &json!("misdirected")),
            "{path}"
        );
        server.hold(&target, status, &body);
    }
}

#[tokio::test]
async fn pages_cover_every_point_once() {
    let (publisher, ids) = node();
    let server = Server::new(&publisher);
    let (mut found, mut target) = (Vec::new(), "/api/v1/points?limit=3".to_owned());
    for _ in 0..ids.len() {
        let page = server.good(&target).await;
        let points = page["points"].as_array().expect("a list");
        found.extend(
            points
                .iter()
                .map(|point| point["id"].as_str().expect("an id").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => target = format!("/api/v1/points?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(found.len(), ids.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids.into_iter().collect());
}

#[tokio::test]
async fn rates_are_those_of_the_last_tick() {
    let (publisher, ids) = node();
    let server = Server::new(&publisher);
    let detail = server.good(&format!("/api/v1/points/{}", ids[0])).await;
    assert_eq!(detail["as_of"]["rate_span_seconds"], json!(5.0));
    assert_eq!(detail["point"]["load"]["downstream"]["opened_per_second"], json!(10.0));
    assert_eq!(detail["dependents"][0]["opened_per_second"], json!(2.0));
    assert_eq!(detail["dependents"][0]["part_ratio"], json!(10.0 / 70.0));
    let rest = &detail["dependents_rest"][0];
    assert_eq!(
        (&rest["opened_per_second"], &rest["active"]),
        (&json!(6.0), &json!(true))
    );
    let failures = &detail["point"]["failures"]["point"]["failures_per_second"];
    assert_eq!(failures.to_string(), "0.0", "not -0.0");
    let paths = server
        .good(&format!("/api/v1/paths?point={}&group=namespace", ids[0]))
        .await;
    let into: Vec<_> = paths["edges"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|edge| edge["to"] == json!(ids[0]))
        .collect();
    assert_eq!(into.len(), 5, "four namespaces and a sum");
    let rates: Vec<_> = into
        .iter()
        .filter_map(|edge| edge["opened_per_second"].as_f64())
        .collect();
    assert_eq!(rates, [6.0, 2.0, 2.0, 2.0, 2.0], "the most first");
}

#[tokio::test]
async fn trouble_comes_first_and_says_what_it_is() {
    let shapes: Vec<_> = (0..4).map(shape).collect();
    let quiet = snapshot(&shapes, 20, Details::default());
    let mut troubled = quiet.clone();
    for row in &mut troubled.points {
        row.load.processes = 1;
    }
    // Number 3 is local and not called: its accept queue is full, and drops.
    let queue = troubled.points[3].load.queues.values_mut().next().expect("a queue");
    (queue.utilization, queue.drops) = (0.9, 50);
    // Callers of number 2, which runs elsewhere, fail.
    for (point, called) in &mut troubled.called {
        if point.name.ends_with("point-2") {
            (called.opened, called.failures[1]) = (100, 100);
        }
    }
    let server = Server::new(&published([quiet, troubled]));
    let list = server.good("/api/v1/points").await;
    let points = list["points"].as_array().expect("a list");
    let what = |point: &Value| -> Vec<String> {
        let reasons = point["trouble"]["reasons"].as_array().expect("a list");
        reasons
            .iter()
            .map(|reason| reason["what"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(points[0]["name"], json!("team-1/point-3"));
    assert_eq!(what(&points[0]), ["accept_queue_drops", "saturation"]);
    assert_eq!(points[0]["trouble"]["severity"], json!(Severity::Critical));
    assert_eq!(points[0]["saturation"]["worst_resource"], json!("accept_queue"));
    assert_eq!(points[1]["name"], json!("team-0/point-2"));
    assert_eq!(what(&points[1]), ["caller_failures"]);
    assert_eq!(
        points[1]["trouble"]["reasons"][0]["text"],
        json!("50.0 % of its callers' connections to it fail: 20.0 a second")
    );
    assert_eq!(points[1]["load"], Value::Null);
    assert_eq!(
        points[3]["trouble"],
        json!({ "score": 0.0, "severity": "ok", "reasons": [] })
    );
}

#[test]
fn the_documentation_has_the_document() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let text = std::fs::read_to_string(file).expect("docs/openapi.json");
    let written: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        written == document(),
        "docs/openapi.json is out of date: run `cargo xtask docs`"
    );
}
