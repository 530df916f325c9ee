//! A client without a library, to check the bytes on the wire.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::ApiServer;

/// The time limit of each operation.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer whose body is still to be read.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<Body>,
}

/// A body, decoded from its chunks as it arrives.
struct Body {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    chunked: bool,
    /// The number of bytes left in the body or in the chunk.
    left: usize,
    done: bool,
}

/// Sends a request with the token.
pub fn ask(server: &ApiServer, path: &str) -> Result<Answer> {
    let header = format!("Authorization: Bearer {}\r\n", server.token());
    request(server, "GET", path, &header)
}

/// Gets a JSON document, with the token.
pub fn document(server: &ApiServer, path: &str) -> Result<Value> {
    ask(server, path)?.json()
}

/// Sends a request with this header and reads the head of the answer.
pub fn request(server: &ApiServer, method: &str, path: &str, header: &str) -> Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(server.address().ip());
    let tcp = TcpStream::connect(server.address())?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, tcp);
    let address = server.address();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\n")?;

    let mut stream = BufReader::new(stream);
    let mut line = || -> Result<String> {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let status = line()?;
    let status = status.split(' ').nth(1).context("no status")?.parse()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: BufReader::new(Body {
            stream,
            chunked: false,
            left: 0,
            done: false,
        }),
    };
    let chunked = answer.header("transfer-encoding") == Some("chunked");
    let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
    let body = answer.body.get_mut();
    (body.chunked, body.left) = (chunked, length);
    Ok(answer)
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(mut self) -> io::Result<String> {
        let mut text = String::new();
        self.body.read_to_string(&mut text)?;
        Ok(text)
    }

    pub fn bytes(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn json(self) -> Result<Value> {
        let text = self.text()?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// What was received before the end, if the connection was cut.
    pub fn until_torn(mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let end = self.body.read_to_end(&mut bytes);
        end.is_err().then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next event of a watch; none at its end.
    pub fn event(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        if self.body.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// The next event of a watch, as its type, the object's name and its resource version.
    pub fn change(&mut self) -> Result<(String, String, u64)> {
        let event = self.event()?.context("the watch has ended")?;
        let text = |path| {
            let text = event.pointer(path).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let version = text("/object/metadata/resourceVersion");
        let version = version.parse().with_context(|| format!("no version in {event}"))?;
        Ok((text("/type"), text("/object/metadata/name"), version))
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done {
            return Ok(0);
        }
        if self.left == 0 {
            let mut size = String::new();
            if self.chunked {
                self.stream.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16);
                self.left = size.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            }
            if self.left == 0 {
                self.done = true;
                return Ok(0);
            }
        }
        let most = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            if self.chunked {
                self.stream.read_exact(&mut [0; 2])?;
            } else {
                self.done = true;
            }
        }
        Ok(read)
    }
}
