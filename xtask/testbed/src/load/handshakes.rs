//! Real TLS handshakes that succeed or fail.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::HEADER;
use crate::abort::abort;
use crate::authority::{Authority, Identity, NAME};

/// The time limit of a handshake or a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a reply: less than a handshake takes.
const REPLY: u32 = 10;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2: a handshake is complete when both sides have checked each other.
    Tls12,
    /// TLS 1.3: for the client it is complete before the server has verified the client's certificate.
    Tls13,
}

impl Version {
    /// Both versions, the older one first.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    fn of_rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &TLS12,
            Self::Tls13 => &TLS13,
        }
    }
}

/// How a client ends a connection whose handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By closing it in order.
    Close,
    /// By a reset, as clients do that close with unread data.
    Reset,
}

/// The settings of a client: its certificate, and the authority that it trusts.
#[derive(Debug, Clone, Copy)]
pub struct Handshakes<'a> {
    /// Where to connect to.
    pub target: SocketAddr,
    /// The only version that the client speaks.
    pub version: Version,
    /// The authority whose server certificates it accepts.
    pub trusted: &'a Authority,
    /// The certificate that it presents when requested, if any.
    pub identity: Option<&'a Identity>,
    /// How it ends failed connections.
    pub ending: Ending,
}

/// The results of the handshakes: `attempts = ok + rejected + distrusted + failed`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeTally {
    /// Calls of `connect` by the client.
    pub attempts: u64,
    /// Completed TCP handshakes of the client.
    pub connected: u64,
    /// Complete conversations: request, reply, and closed in order by both sides.
    pub ok: u64,
    /// Rejected by the server: by an alert, by a reset or by a FIN before the reply.
    pub rejected: u64,
    /// Servers that the client rejected.
    pub distrusted: u64,
    /// Everything else, e.g. no TCP connection.
    pub failed: u64,
}

/// How one of them ended.
enum Outcome {
    Ok,
    Rejected,
    Distrusted,
    Failed,
}

impl Handshakes<'_> {
    /// Makes `count` connections, one after the other.
    ///
    /// On each, the client sends a small request as soon as TLS allows, and reads the reply; a [`Server`](super::Server) must run
    /// behind the proxy.
    pub fn run(&self, count: u64) -> Result<HandshakeTally> {
        let config = Arc::new(self.config()?);
        let mut tally = HandshakeTally::default();
        for _ in 0..count {
            tally.attempts += 1;
            let counter = match self.one(config.clone(), &mut tally)? {
                Outcome::Ok => &mut tally.ok,
                Outcome::Rejected => &mut tally.rejected,
                Outcome::Distrusted => &mut tally.distrusted,
                Outcome::Failed => &mut tally.failed,
            };
            *counter += 1;
        }
        Ok(tally)
    }

    fn config(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.der())?;
        // Given explicitly, as a process may have no default provider, or another one.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[self.version.of_rustls()])?
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.key())
                .context("the client's own certificate")?,
            None => builder.with_no_client_auth(),
        };
        // Every handshake must be a full one.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    fn one(&self, config: Arc<ClientConfig>, tally: &mut HandshakeTally) -> Result<Outcome> {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.target, PATIENCE) else {
            return Ok(Outcome::Failed);
        };
        tally.connected += 1;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut session = ClientConnection::new(config, ServerName::try_from(NAME)?)?;
        let outcome = match converse(&mut session, &mut stream) {
            Ok(()) => return Ok(Outcome::Ok),
            Err(error) => judge(&error),
        };
        match self.ending {
            Ending::Reset => abort(stream),
            Ending::Close => close(&mut stream),
        }
        Ok(outcome)
    }
}

fn converse(session: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&(HEADER as u32).to_be_bytes());
    request[4..].copy_from_slice(&REPLY.to_be_bytes());
    let mut tls = rustls::Stream::new(session, stream);
    tls.write_all(&request)?;
    tls.flush()?;
    tls.read_exact(&mut [0; REPLY as usize])?;
    tls.conn.send_close_notify();
    tls.conn.write_tls(tls.sock)?;
    tls.sock.shutdown(Shutdown::Write)?;
    // The server's FIN shows that the connection is closed in order along the whole path.
    match tls.sock.read_to_end(&mut Vec::new()) {
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

fn judge(error: &io::Error) -> Outcome {
    use rustls::Error;

    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (told, error.kind()) {
        (Some(Error::InvalidCertificate(_)), _) => Outcome::Distrusted,
        (Some(Error::AlertReceived(_)), _) => Outcome::Rejected,
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Outcome::Rejected,
        _ => Outcome::Failed,
    }
}

/// Closes with nothing unread, and waits until the server closes or resets.
fn close(stream: &mut TcpStream) {
    let _gone = stream.shutdown(Shutdown::Write);
    let _whatever = io::copy(stream, &mut io::sink());
}
