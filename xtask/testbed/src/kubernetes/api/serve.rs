//! The server: connections, authentication, and dispatch of requests.

use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::{Content, Link, Status, whole};
use super::fault::{self, FaultKind};
use super::list::list;
use super::question::Question;
use super::resource::{Resource, Verb};
use super::shared::Shared;
use super::watch::{error, watch};
use super::write::discover;

/// The time limit of a client's TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long pending work may delay the end of the server.
const END: Duration = Duration::from_secs(2);

/// A running server, with its thread.
#[derive(Debug)]
pub(super) struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Serves on `listener`, in a separate thread.
    pub fn start(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kube-apiserver")
            .enable_all()
            .build()
            .context("start the API server's threads")?;
        let (stop, stopped) = oneshot::channel();
        // A separate thread owns the runtime, as it could not be dropped inside of another runtime.
        let thread = thread::Builder::new()
            .name("kube-apiserver".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut connections = JoinSet::new();
                    tokio::select! {
                        () = accept(listener, tls, shared, &mut connections) => {}
                        _ = stopped => {}
                    }
                    // Before the watches, which would otherwise end in order on their connections.
                    connections.shutdown().await;
                });
                runtime.shutdown_timeout(END);
            })
            .context("start the API server's thread")?;
        Ok(Self { stop, thread })
    }

    /// Closes the port, cuts all connections, and returns when that is done.
    pub fn stop(self) {
        let _ended_already = self.stop.send(());
        let _panicked = self.thread.join();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>, connections: &mut JoinSet<()>) {
    // This fails only without a runtime.
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(stream, tls.clone(), shared.clone()));
            }
            // For example when no file descriptor is left: retry, as other connections release theirs.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    // Events are small and should not be delayed by Nagle's algorithm.
    let _best_effort = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await else {
        return;
    };
    let link = Arc::new(Link::default());
    let service = service_fn(|request| {
        let (shared, link) = (shared.clone(), link.clone());
        async move { Ok::<_, Infallible>(answer(&shared, &link, request).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => {}
        () = link.until_cut() => {}
    }
}

/// Answers a request, and records it.
async fn answer(shared: &Arc<Shared>, link: &Arc<Link>, request: Request<Incoming>) -> Response<Content> {
    let question = Question::new(request.method(), request.uri()).with_headers(request.headers());
    let asked = question.asked();
    let sent = asked.sent.clone();
    let number = {
        let mut all = shared.asked();
        all.push(asked);
        all.len() - 1
    };
    let response = match respond(shared, link, request, &question).await {
        Ok(response) => response,
        Err(status) => status.response(),
    };
    if let Some(asked) = shared.asked().get_mut(number) {
        asked.status = Some(response.status().as_u16());
    }
    response.map(|content| content.counted(sent))
}

/// Between two looks at whether the faults were cleared.
const MOMENT: Duration = Duration::from_millis(10);

async fn respond(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    request: Request<Incoming>,
    question: &Question,
) -> Result<Response<Content>, Status> {
    authenticate(shared, &request, question)?;
    authorize(shared, question)?;
    let mut cut = false;
    let faults = fault::take(&mut shared.faults(), question);
    for fault in faults {
        match fault {
            FaultKind::Status(code, message) => return Err(with_kind(Status::new(code, message), question)),
            FaultKind::RetryAfter(code, seconds) => {
                let message = "Too many requests, please try again later.";
                return Err(Status::new(code, message).retry_after(seconds));
            }
            FaultKind::Garbage => return Ok(whole("<html>Bad things happen to good proxies.</html>\n")),
            FaultKind::Hang => pending().await,
            FaultKind::Slow(delay) => sleep(delay).await,
            FaultKind::Held => {
                while shared.faults().iter().any(|fault| fault.kind == FaultKind::Held) {
                    sleep(MOMENT).await;
                }
            }
            FaultKind::Close => {
                link.cut();
                pending::<()>().await;
            }
            FaultKind::CutBody => cut = true,
            FaultKind::WatchError(code) => {
                return Ok(error(&Status::new(
                    code,
                    format!("an error on the server, on purpose: {code}"),
                )));
            }
        }
    }
    match (question.verb, question.resource) {
        (None, _) => write(shared, request, question).await,
        (Some(_), None) => raw(shared, &question.path),
        (Some(Verb::Get), Some(resource)) => get(shared, resource, question),
        (Some(Verb::List), Some(resource)) => list(shared, resource, question, link, cut),
        (Some(Verb::Watch), Some(resource)) => watch(shared, resource, question, link, cut),
    }
}

/// Checks the token. As in a real cluster, some paths are public, but not for requests with a wrong token.
fn authenticate(shared: &Shared, request: &Request<Incoming>, question: &Question) -> Result<(), Status> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return match is_public(&question.path) {
            true => Ok(()),
            false => Err(Status::new(401, "Unauthorized")),
        };
    };
    let header = header.to_str().unwrap_or_default();
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && token == shared.token() => Ok(()),
        _ => Err(Status::new(401, "Unauthorized")),
    }
}

/// As long as the roles have not been loaded, nobody may do anything.
fn authorize(shared: &Shared, question: &Question) -> Result<(), Status> {
    match (question.resource, question.verb) {
        (Some(resource), Some(verb)) if !shared.has_roles() => {
            Err(with_kind(Status::new(403, fault::forbidden(resource, verb)), question))
        }
        _ => Ok(()),
    }
}

fn is_public(path: &str) -> bool {
    matches!(path, "/version" | "/healthz" | "/livez" | "/readyz")
}

fn raw(shared: &Shared, path: &str) -> Result<Response<Content>, Status> {
    match path {
        "/version" => {
            let minor = shared.minor();
            let version = json!({
                "major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0"), "platform": "linux/amd64",
            });
            Ok(whole(version.to_string()))
        }
        path if is_public(path) => Ok(whole("ok")),
        path => {
            let written = shared.written().get(path).map(Value::to_string);
            let found = written.or_else(|| discover(path).map(|document| document.to_string()));
            found.map(whole).ok_or_else(not_found)
        }
    }
}

fn not_found() -> Status {
    Status::new(404, "the server could not find the requested resource").with_details(json!({}))
}

/// A request that changes an object, or asks for a review.
async fn write(shared: &Shared, request: Request<Incoming>, question: &Question) -> Result<Response<Content>, Status> {
    let method = request.method().clone();
    if method != Method::POST && method != Method::PATCH {
        let message = "the server does not allow this method on the requested resource";
        return Err(Status::new(405, message));
    }
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = request.into_body().collect().await;
    let body = body.map_err(|error| Status::new(400, error.to_string()))?.to_bytes();
    let review = (method == Method::POST).then(|| shared.reviews().review(&question.path, &body));
    let (status, object) = match review.flatten() {
        Some(reviewed) => (201, reviewed?),
        None => shared.written().write(&method, question, &content_type, &body)?,
    };
    let mut response = whole(object.to_string());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(response)
}

fn get(shared: &Shared, resource: Resource, question: &Question) -> Result<Response<Content>, Status> {
    let name = question.name.as_deref().unwrap_or_default();
    let namespace = question.namespace.as_deref().unwrap_or_default();
    if let Some(written) = shared.written().get(&question.path) {
        return Ok(whole(written.to_string()));
    }
    let Some(object) = shared.store().get(resource, namespace, name) else {
        let status = Status::new(404, format!("{resource} \"{name}\" not found"));
        return Err(status.with_details(json!({"name": name, "kind": resource.plural()})));
    };
    let mut text = String::new();
    object.write_whole(resource, &mut text);
    Ok(whole(text + "\n"))
}

fn with_kind(status: Status, question: &Question) -> Status {
    match question.resource {
        Some(resource) => status.with_details(json!({"kind": resource.plural()})),
        None => status,
    }
}
