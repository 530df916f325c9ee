//! A minimal HTTP client for the agent and Envoy's admin interface.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;

use crate::pace;

/// The time limit of a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// An HTTP response, read completely.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// The first header with this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An HTTP response whose body is not decoded.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The HTTP status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Vec<u8>,
}

impl Raw {
    /// The response with its body as text, decompressed if it says that it is gzip.
    pub fn text(self) -> Result<Response> {
        let Self { status, headers, body } = self;
        let is_gzip = headers.contains(&("content-encoding".to_owned(), "gzip".to_owned()));
        let body = match is_gzip {
            true => {
                let mut text = String::new();
                GzDecoder::new(body.as_slice()).read_to_string(&mut text)?;
                text
            }
            false => String::from_utf8(body)?,
        };
        Ok(Response { status, headers, body })
    }
}

/// Sends a GET and reads the answer to its end; `accept` is the Accept header.
pub fn get(address: SocketAddr, path: &str, accept: &str) -> Result<Response> {
    request("GET", address, path, accept)
}

/// Sends a GET that takes gzip, and reads the answer to its end; `accept` is the Accept header.
pub fn get_gzip(address: SocketAddr, path: &str, accept: &str) -> Result<Raw> {
    let accept = format!("{accept}\r\nAccept-Encoding: gzip");
    send(connect(address)?, "GET", &address.to_string(), path, &accept)
}

/// Sends a request without a body and reads the answer to its end.
pub fn request(method: &str, address: SocketAddr, path: &str, accept: &str) -> Result<Response> {
    exchange(connect(address)?, method, &address.to_string(), path, accept)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let patience = pace::patience(PATIENCE);
    let stream = TcpStream::connect_timeout(&address, patience).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// Sends a request over a connection and reads the answer, a text, to its end.
pub(crate) fn exchange(
    stream: impl Read + Write,
    method: &str,
    host: &str,
    path: &str,
    accept: &str,
) -> Result<Response> {
    send(stream, method, host, path, accept)?.text()
}

fn send(mut stream: impl Read + Write, method: &str, host: &str, path: &str, accept: &str) -> Result<Raw> {
    // In one piece: a server that answers early may not wait for the rest.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("read {path} from {host}"))?;
    parse(&answer).with_context(|| format!("answer of {host} to {path}"))
}

fn parse(answer: &[u8]) -> Result<Raw> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no end of the headers")?;
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status line")?
        .parse()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &answer[end + 4..];
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Ok(Raw { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .context("a chunk without a size")?;
        let size = std::str::from_utf8(&rest[..end])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or(size).trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else {
            bail!("a chunk that ends early")
        };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_bodies() -> Result<()> {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")?.text()?;
        assert_eq!((plain.status, plain.body.as_str()), (200, "hello"));
        assert_eq!(plain.header("content-type"), Some("text/plain"));
        let chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let chunked = parse(chunked)?.text()?;
        assert_eq!((chunked.status, chunked.body.as_str()), (503, "abcde"));
        Ok(())
    }
}
