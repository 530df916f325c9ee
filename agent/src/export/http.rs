//! The HTTP server: metrics, health, status.

use super::{
    collector::SnapshotCollector,
    failures::{Failures, failures},
    snapshot::Shared,
    text,
};
use crate::{failures::Ring, node};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::sync::Arc;

struct Server {
    snapshot: Shared,
    registry: Registry,
}

/// The routes over `snapshot` and the failures in `ring`.
pub fn router(snapshot: Shared, ring: Arc<Ring>) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(SnapshotCollector(snapshot.clone())));
    let server = Arc::new(Server { snapshot, registry });
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .with_state(server)
        .merge(
            Router::new()
                .route("/api/v1/failures", get(failures))
                .with_state(Failures::new(ring)),
        )
}

async fn index() -> &'static str {
    "Narrows\n\n/metrics          Prometheus or OpenMetrics text\n/healthz          the process is alive\n\
     /readyz           it has counted for at least one tick\n/api/v1/status    programs, signals, kernel fields, losses, bounds\n\
     /api/v1/failures  failed connections, one by one; also as they come (Accept: text/event-stream)\n"
}

async fn metrics(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let mut out = String::with_capacity(64 * 1024);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut out, &server.registry) {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot encode the metrics: {error}\n"),
        )
            .into_response();
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (content_type, body) = if text::wants_openmetrics(accept) {
        (text::OPENMETRICS, out)
    } else {
        (text::PROMETHEUS, text::to_prometheus(&out))
    };
    ([(header::CONTENT_TYPE, content_type)], Bytes::from(body)).into_response()
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    let snapshot = server.snapshot.load();
    match (snapshot.tick.number, &snapshot.tick.error) {
        (0, _) => (StatusCode::SERVICE_UNAVAILABLE, "the first tick has not ended yet\n").into_response(),
        (_, Some(error)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the last tick failed: {error}\n"),
        )
            .into_response(),
        _ => "ready\n".into_response(),
    }
}

async fn status(State(server): State<Arc<Server>>) -> Json<Value> {
    let snapshot = server.snapshot.load();
    let lost: Vec<_> = snapshot
        .kernel
        .lost
        .iter()
        .map(|(what, n)| json!({ "what": what.label(), "count": n }))
        .collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": node::kernel_release(),
        "ticks": snapshot.tick.number,
        "tick_error": snapshot.tick.error,
        "programs": snapshot.kernel.programs,
        "signals": snapshot.signals,
        "kernel_fields": snapshot.kernel.fields,
        "lost": lost,
        "bounds": {
            "flows": snapshot.flows(),
            "overflow": snapshot.overflow_flows(),
            "points": snapshot.model.points,
            "waiting_counts": snapshot.model.waiting,
            "cgroups": snapshot.identity.cgroups,
            "failure_events": snapshot.failures.kept,
        },
        "kubernetes": snapshot.identity.cluster,
        "unknown_cgroup_layout": snapshot.identity.unrecognized_cgroup,
        "inventory": snapshot.identity.inventory,
    }))
}
