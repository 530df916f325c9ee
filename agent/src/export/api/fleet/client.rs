//! A request to one peer, bounded in time and size.

use super::{
    access::Access,
    headers::{AGENT, NODE},
};
use crate::{api, failures::printable, url::Url};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{error::Error, fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

/// How long a peer may take until the head of its answer is there, and then again until the rest is.
///
/// Longer in tests, where askers and peers share a thread.
pub const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 3 });

/// The size of an answer that is read, in bytes: a thousand points, the most that a page has, take some 3 MiB.
pub const LARGEST: usize = 8 << 20;

/// The head of an answer: in bytes, and in fields.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// The characters of a peer's message that are passed on.
const SHOWN: usize = 300;

/// An agent, at one of the addresses of a configured name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As configured.
    pub url: Arc<Url>,
    /// One of the addresses that its host has.
    pub address: SocketAddr,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Why a peer has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// For programs: see [`crate::fleet::Missing`].
    pub error: &'static str,
    /// For people.
    pub message: String,
}

impl Failed {
    /// With a word and a sentence.
    pub fn new(error: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { error, message }
    }

    /// The peer answers with something else.
    pub fn unexpected(why: impl fmt::Display) -> Self {
        Self::new(
            "unexpected",
            format!("it does not answer as an agent of this version does: {why}"),
        )
    }
}

/// An answer whose body is still to come.
pub struct Answer {
    /// The node of the agent that answers.
    pub node: String,
    /// Its identifier.
    pub agent: String,
    /// The status of the answer.
    pub status: StatusCode,
    body: Incoming,
    /// The connection, which ends with this.
    _connection: JoinSet<()>,
}

/// Asks a peer, until `deadline` at the latest.
///
/// # Errors
/// There is no answer in time, or not one of an agent.
pub async fn ask(access: &Access, peer: &Peer, target: &str, deadline: Instant) -> Result<Answer, Failed> {
    let begin = Instant::now();
    if begin >= deadline {
        return Err(Failed::new(
            "not_asked",
            "the time for all nodes was over before it was asked",
        ));
    }
    let until = deadline.min(begin + PATIENCE);
    match timeout_at(until, exchange(access, peer, target)).await {
        Ok(answer) => answer,
        Err(_) => Err(too_slow(begin)),
    }
}

async fn exchange(access: &Access, peer: &Peer, target: &str) -> Result<Answer, Failed> {
    let request = request(access, peer, target)?;
    let unreachable = |error: &dyn fmt::Display| Failed::new("unreachable", format!("cannot connect: {error}"));
    let stream = TcpStream::connect(peer.address)
        .await
        .map_err(|error| unreachable(&error))?;
    if !peer.url.is_https {
        return send(stream, request).await;
    }
    let tls = access
        .tls()
        .ok_or_else(|| Failed::new("unreachable", "TLS is not set up; please report this"))?;
    let name = ServerName::try_from(peer.url.host.clone())
        .map_err(|_| Failed::new("unreachable", "its host is no name that a certificate can have"))?;
    match TlsConnector::from(tls).connect(name, stream).await {
        Ok(stream) => send(stream, request).await,
        Err(error) => Err(Failed::new(
            "unreachable",
            format!(
                "TLS with {}: {error}; see api.peers.ca and the certificate there",
                peer.url.host
            ),
        )),
    }
}

fn request(access: &Access, peer: &Peer, target: &str) -> Result<Request<Empty<Bytes>>, Failed> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(format!("{}{target}", peer.url.prefix()))
        .header(header::HOST, peer.url.authority())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("narrows/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = access.token(peer.url.is_https) {
        request = request.header(header::AUTHORIZATION, token);
    }
    let request = request.body(Empty::new());
    request.map_err(|error| Failed::new("unexpected", format!("it cannot be asked for {target}: {error}")))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Failed> {
    let failed = |error: hyper::Error| {
        let why = innermost(&error);
        match error.is_parse() {
            true => Failed::unexpected(format_args!("{why} (https where it serves TLS?)")),
            false => Failed::new("unreachable", format!("the connection failed: {why}")),
        }
    };
    let builder = http1::Builder::new();
    let (mut sender, connection) = { builder }
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let mut tasks = JoinSet::new();
    // Its error is that of the request, too.
    tasks.spawn(async move { drop(connection.await) });
    let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
    let named = |name: &HeaderName| text(&head.headers, name);
    let (Some(node), Some(agent)) = (named(&NODE), named(&AGENT)) else {
        return Err(match head.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused(head.status),
            status => Failed::unexpected(format_args!("{status} without the header {NODE}")),
        });
    };
    Ok(Answer {
        node,
        agent,
        status: head.status,
        body,
        _connection: tasks,
    })
}

fn refused(status: StatusCode) -> Failed {
    Failed::new(
        "refused",
        format!("it asks for other credentials ({status}): see api.peers.token_file and api.peers.certificate"),
    )
}

/// A header of a peer: visible characters, as it is shown to people.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name).map(HeaderValue::to_str)?.ok()?;
    (!text.is_empty() && text.len() <= 253).then(|| text.to_owned())
}

impl Answer {
    /// The body, of a bounded size.
    ///
    /// # Errors
    /// It does not come in time, or is too large.
    pub async fn body(self, deadline: Instant) -> Result<Bytes, Failed> {
        let begin = Instant::now();
        let until = deadline.min(begin + PATIENCE);
        let body = Limited::new(self.body, LARGEST).collect();
        match timeout_at(until, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failed::new(
                "too_large",
                format!("its answer is larger than {} MiB", LARGEST >> 20),
            )),
            Ok(Err(error)) => Err(Failed::new(
                "unreachable",
                format!(
                    "the connection failed in the middle of the answer: {}",
                    innermost(&*error)
                ),
            )),
            Err(_) => Err(too_slow(begin)),
        }
    }

    /// The body, if the status is 200.
    ///
    /// # Errors
    /// Any other status, and those of [`Answer::body`].
    pub async fn good(self, deadline: Instant) -> Result<Bytes, Failed> {
        match self.status {
            StatusCode::OK => self.body(deadline).await,
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(refused(status)),
            status => {
                let body = self.body(deadline).await?;
                let said = serde_json::from_slice::<api::Problem>(&body).map(|problem| problem.message);
                let said: String = said.unwrap_or_default().chars().take(SHOWN).collect();
                Err(Failed::new(
                    "refused",
                    format!("{status} {}", printable(&said)).trim().to_owned(),
                ))
            }
        }
    }
}

fn too_slow(begin: Instant) -> Failed {
    let waited = begin.elapsed().as_secs_f64();
    Failed::new("too_slow", format!("no complete answer within {waited:.1} s"))
}

/// What is at the bottom of an error: the libraries' own words around it say little.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
