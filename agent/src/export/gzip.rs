//! Compresses answers of the API for those who take gzip.

use super::{api::Problem, negotiate::takes_gzip};
use axum::{
    body::{HttpBody as _, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use std::io::{self, Write as _};
use tokio::task::spawn_blocking;

/// The size from which compression is worth its time, in bytes: below it, the answer is one segment anyway.
const WORTHWHILE: u64 = 1_024;

/// Compresses what comes in one piece; events, whose length is not known, are sent as they come.
pub async fn compress(request: Request, next: Next) -> Response {
    let takes = takes(request.headers());
    let mut response = next.run(request).await;
    // A cache in between must keep the two apart.
    let differs = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(header::VARY, differs);
    match response.body().size_hint().exact() {
        Some(size) if takes && size >= WORTHWHILE => compressed(response).await,
        _ => response,
    }
}

fn takes(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    takes_gzip(accepted.and_then(|value| value.to_str().ok()))
}

async fn compressed(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let gzip = async {
        // It is in memory already.
        let plain = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
        // Not on the thread that serves: health probes and followers of failures go on.
        spawn_blocking(move || gzip(&plain)).await?
    };
    match gzip.await {
        Ok(gzip) => {
            let coding = HeaderValue::from_static("gzip");
            parts.headers.insert(header::CONTENT_ENCODING, coding);
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, gzip.into())
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    // Names are repeated in each item, so that the fastest level finds almost everything.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        body::{Body, Bytes},
        http::Method,
        middleware,
        routing::get,
    };
    use flate2::read::GzDecoder;
    use futures_util::stream;
    use std::{convert::Infallible, io::Read as _};
    use tower::ServiceExt as _;

    async fn ask(method: Method, path: &str, takes: &str) -> (HeaderMap, Bytes) {
        let long = || "an item, and another\n".repeat(1_000);
        let piece = move || stream::iter([Ok::<_, Infallible>(long())]);
        let routes = Router::new()
            .route("/long", get(async move || long()))
            .route("/short", get(async || "an item\n"))
            .route("/events", get(async move || Body::from_stream(piece())))
            .route_layer(middleware::from_fn(compress));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT_ENCODING, takes)
            .body(Body::empty());
        let response = routes.oneshot(request.expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        (parts.headers, to_bytes(body, 1 << 20).await.expect("a body"))
    }

    #[tokio::test]
    async fn answers_are_compressed_for_those_who_take_it() {
        let (plain, text) = ask(Method::GET, "/long", "identity").await;
        let (compressed, gzip) = ask(Method::GET, "/long", "gzip, deflate, br").await;
        assert_eq!(plain.get(header::CONTENT_ENCODING), None);
        assert_eq!(compressed[header::CONTENT_ENCODING], "gzip");
        let mut found = Vec::new();
        GzDecoder::new(&gzip[..]).read_to_end(&mut found).expect("gzip");
        assert_eq!(found, text);
        assert!(gzip.len() * 10 < text.len(), "{} of {}", gzip.len(), text.len());
        for headers in [&plain, &compressed] {
            assert_eq!(headers[header::VARY], "accept-encoding");
            assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        }
        let (of_head, nothing) = ask(Method::HEAD, "/long", "gzip").await;
        assert_eq!(of_head[header::CONTENT_LENGTH], gzip.len().to_string());
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn what_is_short_or_comes_in_pieces_is_sent_as_it_is() {
        for path in ["/short", "/events"] {
            let (headers, body) = ask(Method::GET, path, "gzip").await;
            assert_eq!(headers.get(header::CONTENT_ENCODING), None, "{path}");
            assert!(body.starts_with(b"an item"), "{path}");
        }
    }
}
