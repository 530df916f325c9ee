//! The HTTP server: metrics, health, status, failures, the API and the page.

use super::{
    api::{self, Fleet},
    encoded::{Encoded, decompressed},
    failures::{Failures, failures},
    gzip::compress,
    negotiate::{content_type, format, takes_gzip},
    page,
    publish::Published,
    snapshot::Shared,
};
use crate::failures::Ring;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpStream;

/// What is served, on one or two addresses.
#[derive(Clone)]
pub struct Service {
    server: Arc<Server>,
    published: Published,
    failures: Failures,
    fleet: Fleet,
}

struct Server {
    snapshot: Shared,
    encoded: Encoded,
}

/// Who gets the API (`/api/v1/…`) on an address. It names every connection that failed, and has no authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Everybody who can connect.
    Open,
    /// Who connects over the loopback interface: from within the pod, by `kubectl exec` or `kubectl port-forward`.
    Loopback,
    /// Those with credentials, for whom everything is served.
    Authenticated,
    /// Nobody: it is served on this other address.
    At(SocketAddr),
}

/// How a connection arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    is_local: bool,
    /// By a client that has shown a certificate of a trusted CA.
    pub(super) has_certificate: bool,
}

impl Arrival {
    /// Over loopback.
    #[cfg(test)]
    pub(super) const fn local() -> Self {
        Self {
            is_local: true,
            has_certificate: false,
        }
    }

    /// From another machine.
    #[cfg(test)]
    pub(super) const fn remote() -> Self {
        Self {
            is_local: false,
            has_certificate: false,
        }
    }

    /// Of a connection that has been accepted.
    pub(super) fn of(stream: &TcpStream) -> Self {
        Self::between([stream.local_addr(), stream.peer_addr()])
    }

    /// Of a connection between these addresses. Both have to be loopback ones: an address of the machine is none.
    fn between(ends: [io::Result<SocketAddr>; 2]) -> Self {
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        Self {
            has_certificate: false,
            is_local: ends.into_iter().all(|end| end.is_ok_and(|end| is_loopback(end.ip()))),
        }
    }
}

impl Service {
    /// Serves what is published, the failures in `ring`, and what the agents of other nodes in `fleet` answer.
    pub fn new(published: Published, ring: Arc<Ring>, fleet: Fleet) -> Self {
        let snapshot = published.snapshot.clone();
        Self {
            published,
            server: Arc::new(Server {
                encoded: Encoded::new(snapshot.clone()),
                snapshot,
            }),
            failures: Failures::new(ring, fleet.clone()),
            fleet,
        }
    }

    /// The routes on one address, for [`serve`](super::serve).
    pub fn router(&self, api: Api) -> Router {
        let failures = Router::new()
            .route("/api/v1/failures", get(failures))
            .with_state(self.failures.clone());
        let guarded = failures
            .merge(api::router(self.published.clone(), self.fleet.clone()))
            .method_not_allowed_fallback(api::method_not_allowed)
            .route_layer(middleware::from_fn_with_state(self.fleet.clone(), api::relay))
            .route_layer(middleware::map_response_with_state(self.fleet.clone(), api::sign))
            .route_layer(middleware::from_fn_with_state(api, guard))
            .route_layer(middleware::from_fn(compress));
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .with_state(self.server.clone())
            .merge(page::router())
            .merge(guarded)
    }
}

/// Serves the API to those who may have it here, and tells the others where it is.
async fn guard(
    State(api): State<Api>,
    ConnectInfo(arrival): ConnectInfo<Arrival>,
    request: Request,
    next: Next,
) -> Response {
    let where_else = match api {
        // Whoever has no credentials does not come here.
        Api::Open | Api::Authenticated => return next.run(request).await,
        Api::Loopback if arrival.is_local => return next.run(request).await,
        Api::Loopback => "over loopback only, e.g. through `kubectl port-forward`".to_owned(),
        Api::At(address) => format!("at {address}"),
    };
    api::Problem::misdirected(&where_else).into_response()
}

async fn metrics(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let format = format(text(header::ACCEPT));
    let compressed = match server.encoded.gzip(format).await {
        Ok(compressed) => compressed,
        Err(error) => {
            let why = format!("cannot encode the metrics: {error}\n");
            return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
        }
    };
    let described = [
        (header::CONTENT_TYPE, content_type(format)),
        // A cache in between must keep the two apart.
        (header::VARY, "accept, accept-encoding"),
    ];
    match takes_gzip(text(header::ACCEPT_ENCODING)) {
        true => (described, [(header::CONTENT_ENCODING, "gzip")], Body::from(compressed)).into_response(),
        false => (described, decompressed(compressed)).into_response(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_at_both_ends_is_local() {
        let is_local = |one: &str, other: &str| {
            let end = |text: &str| text.parse::<SocketAddr>().map_err(io::Error::other);
            Arrival::between([end(one), end(other)]).is_local
        };
        for (one, other) in [
            ("127.0.0.1:9797", "127.0.0.1:40000"),
            ("[::1]:9797", "[::1]:40000"),
            ("[::ffff:127.0.0.1]:9797", "[::ffff:127.0.0.1]:40000"),
        ] {
            assert!(is_local(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("10.0.0.1:9797", "10.0.0.2:40000"),
            ("10.0.0.1:9797", "127.0.0.1:40000"),
            ("127.0.0.1:9797", "10.0.0.2:40000"),
            ("[fd00::1]:9797", "[fd00::1]:40000"),
            ("127.0.0.1:9797", "nowhere"),
        ] {
            assert!(!is_local(one, other), "{one} {other}");
        }
    }
}
