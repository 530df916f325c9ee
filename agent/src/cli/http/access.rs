//! Access to a service: the bearer token, and the CAs that are trusted.

use super::service::Service;
use crate::url::Url;
use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, ValueHint};
use hyper::header::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// A variable that contains a token itself, for Prometheus only.
const PROMETHEUS_TOKEN: &str = "NARROWS_PROMETHEUS_TOKEN";

/// The flags for tokens and certificates.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// File with a bearer token to send (`Authorization: Bearer TOKEN`); it is read again for each request. Over plain http it is
    /// only sent to a loopback address, unless --allow-token-over-http is given
    #[arg(
        long,
        visible_alias = "token-file",
        env = "NARROWS_BEARER_TOKEN_FILE",
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    pub bearer_token_file: Option<PathBuf>,
    /// File with the certificates (PEM) of the CAs to trust for https [default: those of the system]
    #[arg(long, env = "NARROWS_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// Send the bearer token over plain http to other machines as well, where anyone on the way can read it
    #[arg(long)]
    pub allow_token_over_http: bool,
}

/// The source of a bearer token.
#[derive(Clone, Debug)]
pub enum Token {
    /// A file, which is read for each request: Kubernetes replaces tokens of service accounts every hour.
    File(PathBuf),
    /// The variable `NARROWS_PROMETHEUS_TOKEN` contains it.
    Variable,
}

impl Access {
    /// The token for a service, if one is given.
    ///
    /// # Errors
    /// When it may not be sent to this address.
    pub fn token(&self, service: Service, url: &Url) -> anyhow::Result<Option<Token>> {
        let is_set = || env::var(PROMETHEUS_TOKEN).is_ok_and(|token| !token.trim().is_empty());
        let token = match &self.bearer_token_file {
            Some(file) => Some(Token::File(file.clone())),
            None => (service == Service::Prometheus && is_set()).then_some(Token::Variable),
        };
        if let Some(token) = &token
            && !(url.is_https || url.is_loopback() || self.allow_token_over_http)
        {
            bail!(
                "the bearer token {token} is not sent to {url}, as anyone on the way could read it: use https://, or pass \
                 --allow-token-over-http where the network is trusted"
            );
        }
        Ok(token)
    }

    /// A connector that uses TLS for https URLs.
    ///
    /// # Errors
    /// When no CA can be read.
    pub fn connector(&self, url: &Url) -> anyhow::Result<HttpsConnector<HttpConnector>> {
        let builder = HttpsConnectorBuilder::new();
        let with_roots = |roots| {
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth()
        };
        let builder = match &self.ca_file {
            // No TLS, so no CA is needed.
            _ if !url.is_https => builder.with_tls_config(with_roots(RootCertStore::empty())),
            Some(file) => builder.with_tls_config(with_roots(authorities(file)?)),
            // The library's error lists each path that it has tried, which does not help the user.
            None => builder.with_native_roots().map_err(|_| {
                anyhow!(
                    "cannot verify {url}: this system has no CA certificates; install ca-certificates, or pass a file with --ca-file"
                )
            })?,
        };
        Ok(builder.https_or_http().enable_http1().build())
    }
}

/// The CA certificates in a file.
fn authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let shown = file.display();
    let text = fs::read(file).with_context(|| format!("cannot read the CA file {shown}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.with_context(|| format!("cannot parse the CA file {shown}"))?;
        roots
            .add(certificate)
            .with_context(|| format!("the CA file {shown} has a certificate that cannot be used"))?;
    }
    ensure!(
        !roots.is_empty(),
        "the CA file {shown} has no certificate: expected PEM, with lines `-----BEGIN CERTIFICATE-----`"
    );
    Ok(roots)
}

impl Token {
    /// The value of the `Authorization` header.
    ///
    /// # Errors
    /// A sentence that does not show the token.
    pub fn header(&self) -> Result<HeaderValue, String> {
        let text = match self {
            Self::File(file) => {
                fs::read_to_string(file).map_err(|error| format!("cannot read the bearer token {self}: {error}"))?
            }
            Self::Variable => env::var(PROMETHEUS_TOKEN).unwrap_or_default(),
        };
        let token = text.trim();
        if token.is_empty() {
            return Err(format!("the bearer token {self} is empty"));
        }
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            format!("the bearer token {self} has characters that no token may have, such as line breaks")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// The source, as part of a sentence.
impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => write!(f, "in {}", file.display()),
            Self::Variable => write!(f, "in {PROMETHEUS_TOKEN}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect(text)
    }

    #[test]
    fn a_token_stays_here_or_is_encrypted() {
        let mut access = Access {
            bearer_token_file: Some("/run/token".into()),
            ..Access::default()
        };
        for there in [
            "https://node-1",
            "http://127.0.0.1:9797",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(
                matches!(access.token(Service::Agent, &url(there)), Ok(Some(_))),
                "{there}"
            );
        }
        for there in ["http://node-1:9797", "http://10.0.0.1", "http://localhost.example"] {
            let error = access.token(Service::Agent, &url(there)).expect_err(there).to_string();
            let begin = format!("the bearer token in /run/token is not sent to {there}, as anyone");
            assert!(error.starts_with(&begin), "{error}");
            assert!(error.contains("--allow-token-over-http"), "{error}");
        }
        access.allow_token_over_http = true;
        assert!(matches!(
            access.token(Service::Agent, &url("http://node-1")),
            Ok(Some(_))
        ));
        // Without a token there is nothing to protect.
        let none = Access::default().token(Service::Agent, &url("http://node-1"));
        assert!(matches!(none, Ok(None)), "{none:?}");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_without_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let token = Token::File(file.path().to_owned());
        for (contents, expected) in [
            ("secret\n", Ok("Bearer secret")),
            (" \n", Err("is empty")),
            ("secret\nother", Err("has characters that no token may have")),
        ] {
            fs::write(file.path(), contents).expect("written");
            match (token.header(), expected) {
                (Ok(header), Ok(expected)) => {
                    assert_eq!((header.as_bytes(), header.is_sensitive()), (expected.as_bytes(), true));
                }
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected) && !error.contains("secret"), "{error}");
                }
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        }
        let error = Token::File("/no/such/file".into()).header().expect_err("no file");
        assert!(
            error.starts_with("cannot read the bearer token in /no/such/file: "),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_certificates_is_no_ca_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (contents, expected) in [
            ("", "has no certificate: expected PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "has a certificate that cannot be used",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "cannot parse the CA file",
            ),
        ] {
            fs::write(file.path(), contents).expect("written");
            let error = authorities(file.path()).expect_err(contents);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
            assert!(
                format!("{error:#}").contains(&file.path().display().to_string()),
                "{error:#}"
            );
        }
    }
}
