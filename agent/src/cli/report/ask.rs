//! Asking over HTTP or HTTPS.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{env, fmt, fs, path::Path, time::Duration};
use tokio::runtime::Runtime;

/// For one answer. Prometheus itself gives up on a query after two minutes by default.
const PATIENCE: Duration = Duration::from_secs(130);

/// No answer is larger, in bytes.
const LARGEST: usize = 1 << 28;

/// An address that is asked, one question after the other.
pub struct Api {
    base: String,
    token: Option<String>,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    runtime: Runtime,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// The token for Prometheus: of a file, else of the environment.
///
/// # Errors
/// When the file cannot be read.
pub fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let token = match file {
        Some(file) => Some(fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?),
        None => env::var("NARROWS_PROMETHEUS_TOKEN").ok(),
    };
    Ok(token
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty()))
}

impl Api {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When this is no URL, or when no certificate of an authority can be found for `https`.
    pub fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            bail!(
                "{url:?} is no URL that can be asked: write http://HOST:PORT or https://HOST, with a path where there is one"
            );
        }
        let tls = HttpsConnectorBuilder::new();
        let tls = if uri.scheme_str() == Some("https") {
            tls.with_native_roots()
                .context("no certificates of authorities on this machine (install ca-certificates)")?
        } else {
            tls.with_tls_config(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            )
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start tokio")?;
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            token,
            client: Client::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build()),
            runtime,
        })
    }

    /// Asks for a path with its query, and returns the answer, whatever its status is.
    ///
    /// # Errors
    /// When none comes.
    pub fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::get(format!("{}{path}", self.base))
            .header(header::USER_AGENT, concat!("narrows/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Empty::new())
            .with_context(|| format!("cannot ask {self}"))?;
        self.runtime.block_on(async {
            let answer = async {
                let response = self.client.request(request).await.map_err(|error| root_cause(&error))?;
                let (head, body) = response.into_parts();
                let body = Limited::new(body, LARGEST)
                    .collect()
                    .await
                    .map_err(|error| error.to_string())?;
                Ok::<_, String>((head.status, body.to_bytes()))
            };
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(why)) => bail!("nobody answers at {self}: {why}"),
                Err(_) => bail!("{self} has not answered within {} s", PATIENCE.as_secs()),
            }
        })
    }
}

/// Such errors say what happened in their innermost one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
