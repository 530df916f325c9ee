//! What clients meet who are unknown, and the server that these and other tests ask.

mod limits;
mod reviews;

use super::{
    super::{
        api::Fleet,
        http::{Api, Service},
        publish::Publisher,
        synthetic::snapshot,
    },
    Gate, Reviews, authenticate, serve,
};
use crate::{api::Problem, config::Files, failures::Ring, metrics::Details};
use axum::{Router, middleware, routing::get};
use hyper_util::rt::TokioIo;
use narrows_testbed::authority::{self, Authority, Identity};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::TlsConnector;

/// How long a rotation may take to be seen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TOKEN: &str = "a-token-that-nobody-guesses";

/// A server, which ends when it is dropped.
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(routes: Router, gate: Option<Gate>) -> Running {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move { serve(listener, routes, gate.as_ref()).await });
    Running { address, task }
}

fn routes(api: Api) -> Router {
    let mut publisher = Publisher::new(Duration::from_secs(5));
    publisher.publish(snapshot(&[], 0, Details::default()), Instant::now());
    Service::new(
        publisher.published().clone(),
        Arc::new(Ring::new(10, 0)),
        Fleet::alone("node-1"),
    )
    .router(api)
}

/// Sends this, and reads what comes until the server closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer).await {
        // What was sent beyond the limit was not read, so the server's end is a reset.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Certificates and a token in files, as a secret is mounted.
struct TestFiles {
    directory: TempDir,
    servers: Authority,
    clients: Authority,
}

impl TestFiles {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().expect("a directory"),
            servers: Authority::new("servers").expect("an authority"),
            clients: Authority::new("clients").expect("an authority"),
        };
        files.write("ca.crt", &files.clients.pem());
        files.write("token", TOKEN);
        files.certify(&files.servers);
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("written");
    }

    /// Gives the server a certificate of this authority.
    fn certify(&self, authority: &Authority) {
        let identity = authority.issue("narrows").expect("a certificate");
        self.write("tls.key", &identity.key_pem);
        self.write("tls.crt", &identity.certificate_pem);
    }

    fn gate(&self, takes_certificates: bool, takes_token: bool, reviews: Option<Reviews>) -> Gate {
        let path = |name: &str| self.directory.path().join(name);
        let files = Files {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            client_ca: takes_certificates.then(|| path("ca.crt")),
            token_file: takes_token.then(|| path("token")),
        };
        Gate::new(&files, reviews).expect("files that can be used")
    }

    async fn start(&self, takes_certificates: bool, takes_token: bool) -> Running {
        guarded(self.gate(takes_certificates, takes_token, None)).await
    }
}

async fn guarded(gate: Gate) -> Running {
    let layer = middleware::from_fn_with_state(gate.credentials.clone(), authenticate);
    start(routes(Api::Authenticated).layer(layer), Some(gate)).await
}

/// Asks over TLS; status and body, or why there is no answer.
async fn ask(
    server: &Running,
    authority: &Authority,
    identity: Option<&Identity>,
    authorization: Option<&str>,
) -> anyhow::Result<(u16, String)> {
    ask_for("/api/v1/points", server, authority, identity, authorization).await
}

async fn ask_for(
    path: &str,
    server: &Running,
    authority: &Authority,
    identity: Option<&Identity>,
    authorization: Option<&str>,
) -> anyhow::Result<(u16, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes())?],
            PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?,
        )?,
    };
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from(authority::NAME)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = hyper::Request::get(path).header("host", authority::NAME);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = sender.send_request(request.body(String::new())?).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            connection.abort();
            return Err(error.into());
        }
    };
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await?;
    connection.abort();
    Ok((status, String::from_utf8(body.to_vec())?))
}

#[tokio::test]
async fn without_credentials_there_is_an_answer_that_says_which() {
    let files = TestFiles::new();
    let known = files.clients.issue("page").expect("a certificate");
    let unknown = Authority::new("others").expect("an authority");
    let unknown = unknown.issue("page").expect("a certificate");
    let right = format!("Bearer {TOKEN}");
    for (takes_certificates, takes_token, wanted) in [
        (true, true, "a client certificate or a bearer token"),
        (true, false, "a client certificate"),
        (false, true, "a bearer token"),
    ] {
        let server = files.start(takes_certificates, takes_token).await;
        let asked = async |identity, authorization| {
            let (status, body) = ask(&server, &files.servers, identity, authorization)
                .await
                .expect("an answer");
            (status, body)
        };
        let (status, body) = asked(None, None).await;
        assert_eq!(status, 401, "{body}");
        let problem: Problem = serde_json::from_str(&body).expect("a problem");
        assert_eq!(problem.error, "unauthenticated");
        assert!(problem.message.contains(wanted), "{}", problem.message);
        let expected = |takes| if takes { 200 } else { 401 };
        assert_eq!(asked(Some(&known), None).await.0, expected(takes_certificates));
        assert_eq!(asked(None, Some(&right)).await.0, expected(takes_token));
        for wrong in [
            "Bearer ",
            "Bearer a-token-that-nobody-guesse",
            "Basic eDp5",
            "Bearer",
            TOKEN,
        ] {
            assert_eq!(asked(None, Some(wrong)).await.0, 401, "{wrong}");
        }
        if takes_certificates {
            let refused = ask(&server, &files.servers, Some(&unknown), Some(&right)).await;
            assert!(refused.is_err(), "a certificate of another CA: {refused:?}");
        }
        let plain = exchange(server.address, b"GET /api/v1/points HTTP/1.1\r\n\r\n").await;
        assert!(!plain.contains("200"), "without TLS there is nothing: {plain}");
    }
}

/// Asks until the answer is this one.
async fn until(what: &str, mut asked: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !asked().await {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn files_that_rotate_are_read_again() {
    let files = TestFiles::new();
    let server = files.start(true, true).await;
    let right = format!("Bearer {TOKEN}");
    let is_answered = async |authority: &Authority, identity: Option<&Identity>, authorization: Option<&str>| {
        let answer = ask(&server, authority, identity, authorization).await;
        answer.is_ok_and(|(status, _)| status == 200)
    };
    assert!(is_answered(&files.servers, None, Some(&right)).await);
    // A certificate of another CA: whoever trusts that one is answered, whoever trusts only the one before no more.
    let next = Authority::new("next").expect("an authority");
    files.certify(&next);
    until("the certificate", async || is_answered(&next, None, Some(&right)).await).await;
    assert!(!is_answered(&files.servers, None, Some(&right)).await);
    // What cannot be used changes nothing; neither does a file that is missing for a moment.
    files.write("tls.key", "no key");
    sleep(super::super::rotating::EVERY).await;
    assert!(is_answered(&next, None, Some(&right)).await);
    fs::remove_file(files.directory.path().join("tls.crt")).expect("removed");
    sleep(super::super::rotating::EVERY).await;
    assert!(is_answered(&next, None, Some(&right)).await);
    files.certify(&next);
    // The token.
    files.write("token", "another-token-of-this-agent\n");
    let another = Some("Bearer another-token-of-this-agent");
    until("the token", async || is_answered(&next, None, another).await).await;
    assert!(!is_answered(&next, None, Some(&right)).await);
    // The CA of clients.
    let (old, clients) = (
        files.clients.issue("page").expect("a certificate"),
        Authority::new("new clients"),
    );
    let clients = clients.expect("an authority");
    let new = clients.issue("page").expect("a certificate");
    assert!(is_answered(&next, Some(&old), None).await);
    files.write("ca.crt", &clients.pem());
    until("the clients' CA", async || is_answered(&next, Some(&new), None).await).await;
    assert!(!is_answered(&next, Some(&old), None).await);
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_it() {
    let files = TestFiles::new();
    for (name, text, expected) in [
        ("token", "short\n", "the bearer token in {} has 5 characters"),
        (
            "ca.crt",
            "nothing",
            "cannot use the CAs of clients {}: there is none in it",
        ),
        ("tls.key", "nothing", "cannot use the private key {}"),
        (
            "tls.crt",
            "nothing",
            "cannot use the certificate {}: there is none in it",
        ),
    ] {
        files.write(name, text);
        let path = |name: &str| files.directory.path().join(name);
        let files = Files {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            client_ca: Some(path("ca.crt")),
            token_file: Some(path("token")),
        };
        let made = Gate::new(&files, None);
        let error = format!("{:#}", made.err().expect("it is refused"));
        let expected = expected.replace("{}", &path(name).display().to_string());
        assert!(error.starts_with(&expected), "{error}");
    }
}
