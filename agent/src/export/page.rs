//! The page for people at `/`, and what it consists of: compiled in, so that it needs no file, no build step and no other host.
//!
//! It has no data of its own. The browser asks the API for that, which decides who gets it.

pub mod assets;

use super::negotiate::takes_gzip;
use assets::{ASSETS, Asset};
use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    sync::LazyLock,
};

/// Scripts, styles and data from here only; nothing inline, nothing framed, no form.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page itself, among the assets.
const INDEX: &str = "index.html";

/// What is served at `/` to those who do not ask for HTML, and at `/index.txt` to everybody.
const PATHS: &str = "Narrows\n\n/                 the page for people, in a browser\n\
     /index.txt        this list\n\
     /metrics          Prometheus or OpenMetrics text\n/healthz          the process is alive\n\
     /readyz           it has counted for at least one tick\n/api/v1/status    programs, signals, kernel fields, losses, bounds\n\
     /api/v1/points    points, those with the most trouble first; /api/v1/points/{id} has everything about one\n\
     /api/v1/workloads workloads, with the points that they depend on or are served by\n\
     /api/v1/paths     the edges of a flow picture\n\
     /api/v1/history   the last hour of a point\n\
     /api/v1/openapi.json  describes all of these\n\
     /api/v1/drains    instances of points that are to go, and the connections that hang on them\n\
     /api/v1/failures  failed connections, one by one; also as they come (Accept: text/event-stream)\n";

/// The routes.
pub fn router() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/index.txt", get(async || text()))
        .route("/assets/{*name}", get(asset))
}

/// An asset as it is sent.
struct Ready {
    asset: &'static Asset,
    compressed: Option<Bytes>,
    tag: HeaderValue,
}

/// Compressed once, when the first one is asked for.
static READY: LazyLock<HashMap<&str, Ready>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| (asset.name, Ready::new(asset))).collect());

impl Ready {
    fn new(asset: &'static Asset) -> Self {
        let mut hasher = DefaultHasher::new();
        asset.body.hash(&mut hasher);
        // Weak: the same for the compressed and the plain form. A hash in hexadecimal is a valid value.
        let tag = HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish()));
        Self {
            asset,
            compressed: compress(asset.body).ok(),
            tag: tag.unwrap_or(HeaderValue::from_static("W/\"0\"")),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get(header::IF_NONE_MATCH);
        let is_known = known.and_then(|value| value.to_str().ok()).is_some_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim().as_bytes() == self.tag.as_bytes() || tag.trim() == "*")
        });
        let common = [
            (header::ETAG, self.tag.clone()),
            // Kept, but asked about each time: after an upgrade of the agent, old scripts must not meet a new API.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept, accept-encoding")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let kind = [(header::CONTENT_TYPE, self.asset.kind)];
        let accepted = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok());
        match &self.compressed {
            Some(compressed) if takes_gzip(accepted) => {
                let coding = [(header::CONTENT_ENCODING, "gzip")];
                (common, kind, coding, compressed.clone()).into_response()
            }
            _ => (common, kind, Bytes::from_static(self.asset.body)).into_response(),
        }
    }
}

fn compress(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

async fn index(headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    match READY.get(INDEX) {
        Some(page) if accepted.is_some_and(|accepted| accepted.contains("text/html")) => page.answer(&headers),
        _ => text(),
    }
}

fn text() -> Response {
    ([(header::VARY, "accept")], PATHS).into_response()
}

async fn asset(axum::extract::Path(name): axum::extract::Path<String>, headers: HeaderMap) -> Response {
    match READY.get(name.as_str()) {
        Some(ready) if name != INDEX => ready.answer(&headers),
        _ => (StatusCode::NOT_FOUND, "the page has no such part\n").into_response(),
    }
}
