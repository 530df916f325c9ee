//! Connections: how many there may be, how long they may take, and TLS.

mod credentials;
mod heads;
mod reviews;
#[cfg(test)]
mod tests;
mod tls;

pub use credentials::{Credentials, authenticate};
pub use reviews::Reviews;

use super::{http::Arrival, rotating::Rotating};
use crate::config::Files;
use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use heads::{Answered, Heads, Phases};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{self, AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Connections of an address at a time. Further ones wait in the kernel's accept queue until one of these ends.
const CONNECTIONS: usize = 512;

/// The time in which a TLS handshake has to be done.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The time in which the head of a request has to arrive, and the first one to begin.
const HEAD: Duration = Duration::from_secs(20);

/// The time for which a connection may be idle between requests: longer than the interval at which anybody scrapes, which is a minute
/// by Prometheus' default, so that a scraper need not connect each time.
const IDLE: Duration = Duration::from_secs(90);

/// The time for which a client may take nothing of its answer.
const STALLED: Duration = Duration::from_secs(20);

/// The size of a request's head, with its line, in bytes; what is larger is answered with 431.
const HEAD_BYTES: usize = 16 << 10;

/// The number of header fields of a request.
const HEADERS: usize = 64;

/// The time until the next attempt when no connection can be accepted, as no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(50);

/// TLS of an address, and who may ask there.
pub struct Gate {
    tls: Rotating<ServerConfig>,
    /// What requests need.
    pub credentials: Arc<Credentials>,
}

impl Gate {
    /// That of these files, and of tokens that are reviewed.
    ///
    /// # Errors
    /// A file cannot be read, or what is in it cannot be used.
    pub fn new(files: &Files, reviews: Option<Reviews>) -> anyhow::Result<Self> {
        Ok(Self {
            tls: tls::tls(files)?,
            credentials: Arc::new(Credentials::new(files, reviews)?),
        })
    }
}

/// Serves on one address until it is dropped.
pub async fn serve(listener: TcpListener, routes: Router, gate: Option<&Gate>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let tls = gate.map(|gate| TlsAcceptor::from(gate.tls.current()));
        connections.spawn(connection(stream, tls, routes.clone(), place));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router, _place: OwnedSemaphorePermit) {
    // Events to followers must not wait until the previous one is acknowledged (TCP_NODELAY). A failure only adds delay.
    let _slower = stream.set_nodelay(true);
    let mut arrival = Arrival::of(&stream);
    let Some(tls) = tls else {
        return requests(stream, routes, arrival).await;
    };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            arrival.has_certificate = certificates.is_some_and(|chain| !chain.is_empty());
            requests(stream, routes, arrival).await;
        }
        Ok(Err(error)) => tracing::debug!("TLS handshake failed: {error}"),
        Err(_) => tracing::debug!("TLS handshake not done within {} s", HANDSHAKE.as_secs()),
    }
}

/// Answers the requests of a connection.
async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router, arrival: Arrival) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    let phases = Phases::new();
    let (reading, writing) = io::split(Box::pin(stream));
    let stream = io::join(Heads::new(reading, phases.clone(), HEAD), writing);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = phases.answer();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(arrival));
        let routes = routes.clone();
        async move {
            let answer = routes.oneshot(request).await;
            answer.map(|answer| answer.map(|body| Answered::new(body, answering)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the end of an answer to the end of the next head.
        .header_read_timeout(IDLE)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection ended: {error}");
    }
}
