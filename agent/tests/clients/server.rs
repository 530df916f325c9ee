//! A server that answers every request with the same, over TLS or without, or each path with its own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
};
use tempfile::NamedTempFile;

/// An answer of `/api/v1/failures` without failures.
pub const NO_FAILURES: &str = r#"{"run":1,"failures":[],"dropped":{"failure_event_rate_limited":0,"failure_event_ring_full":0,"overwritten":0},"next":1}"#;

/// It lives until the test ends.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The requests that came, each with its head only.
    pub questions: Receiver<String>,
}

impl Server {
    /// Without TLS.
    pub fn plain(listen: &str, status: &str, body: &str) -> Self {
        Self::start(listen, always(status, body), |stream, serve| serve(&mut { stream }))
    }

    /// Without TLS, with a status and a body for each path with its query.
    pub fn routed(answer: impl Fn(&str) -> (&'static str, String) + Send + 'static) -> Self {
        let respond = move |request: &str| {
            let (status, body) = answer(request.split(' ').nth(1).unwrap_or_default());
            response(status, &body)
        };
        Self::start("127.0.0.1:0", respond, |stream, serve| serve(&mut { stream }))
    }

    /// With a certificate of this authority.
    pub fn tls(authority: &Authority, name: &str, status: &str, body: &str) -> Self {
        let config = authority.server(name);
        Self::start("127.0.0.1:0", always(status, body), move |stream, serve| {
            let connection = ServerConnection::new(config.clone()).expect("a valid configuration");
            serve(&mut StreamOwned::new(connection, stream));
        })
    }

    fn start(
        listen: &str,
        respond: impl Fn(&str) -> String + Send + 'static,
        wrap: impl Fn(std::net::TcpStream, &dyn Fn(&mut dyn Stream)) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(listen).expect("it listens");
        let address = listener.local_addr().expect("an address");
        let (asked, questions) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = |stream: &mut dyn Stream| {
                    // A client that does not trust this server asks nothing.
                    let Some(request) = head(stream) else { return };
                    let answer = respond(&request);
                    let _test_is_over = asked.send(request);
                    let _gone = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
                };
                wrap(stream.expect("a connection"), &serve);
            }
        });
        Self { address, questions }
    }

    /// The next request, which has already come.
    #[track_caller]
    pub fn question(&self) -> String {
        self.questions.try_recv().expect("it was asked")
    }
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn always(status: &str, body: &str) -> impl Fn(&str) -> String + Send + 'static {
    let answer = response(status, body);
    move |_| answer.clone()
}

/// Both directions.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

fn head(stream: &mut dyn Stream) -> Option<String> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(n @ 1..) => request.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&request).into_owned())
}

/// A certificate authority, which nobody trusts unless told so.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// Its certificate as a file.
    pub fn file(&self) -> NamedTempFile {
        file(&self.issuer.pem())
    }

    /// A server with a certificate for a name or an address.
    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.expect("a key that fits"))
    }
}

/// A file with this text.
pub fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

/// Its path as an argument.
pub fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}
