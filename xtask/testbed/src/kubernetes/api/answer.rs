//! Answers: documents in one piece, streams, and the `Status` object of failures.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

/// Long enough for data to be transmitted.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Content {
    kind: Kind,
    /// The bytes so far.
    sent: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    /// Ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Content {
    fn new(kind: Kind) -> Self {
        let sent = Arc::default();
        Self { kind, sent }
    }

    /// The same, whose bytes are counted in `sent`.
    pub fn counted(self, sent: Arc<AtomicU64>) -> Self {
        Self { sent, ..self }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let data = match &mut this.kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take()),
            Kind::Stream(receiver) => receiver.poll_recv(cx),
        };
        if let Poll::Ready(Some(data)) = &data {
            this.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// A handle to cut a connection.
#[derive(Debug, Default)]
pub(super) struct Link(Notify);

impl Link {
    /// Waits until it is cut.
    pub async fn until_cut(&self) {
        self.0.notified().await;
    }

    /// Cuts it; the answering task waits for that to take effect.
    pub fn cut(&self) {
        self.0.notify_one();
    }

    /// Cuts it during a stream, which otherwise could still end in order.
    pub async fn cut_stream(&self, out: &mpsc::Sender<Bytes>) {
        self.cut();
        out.closed().await;
    }

    /// Sends the first half of a text and cuts the connection.
    pub async fn cut_in(&self, out: &mpsc::Sender<Bytes>, text: &str) {
        let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
        if out.send(half).await.is_ok() {
            sleep(ON_ITS_WAY).await;
        }
        self.cut_stream(out).await;
    }
}

/// A failure, as Kubernetes reports it.
#[derive(Debug, Clone)]
pub(super) struct Status {
    code: u16,
    message: String,
    details: Option<Value>,
    retry_after: Option<u32>,
}

impl Status {
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retry_after: None,
        }
    }

    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Asks the client to retry after this number of seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self.with_details(json!({"retryAfterSeconds": seconds}))
    }

    /// The object in bodies and in ERROR events.
    pub fn object(&self) -> Value {
        let mut object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": reason(self.code), "code": self.code,
        });
        if let Some(details) = &self.details {
            object["details"] = details.clone();
        }
        object
    }

    pub fn response(&self) -> Response<Content> {
        let mut response = whole(self.object().to_string());
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// An answer in one piece.
pub(super) fn whole(json: impl Into<Bytes>) -> Response<Content> {
    answer(Content::new(Kind::Whole(Some(json.into()))))
}

/// An answer in one piece, compressed as a real server does it: at the level that costs least.
pub(super) fn compressed(json: &str) -> Response<Content> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let bytes = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish());
    let mut response = whole(bytes.unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// An answer that is still being written.
pub(super) fn stream(receiver: mpsc::Receiver<Bytes>) -> Response<Content> {
    answer(Content::new(Kind::Stream(receiver)))
}

fn answer(content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}
