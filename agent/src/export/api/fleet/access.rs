//! What it takes to be answered by peers: CAs, a client certificate, a bearer token.

use super::super::super::{
    pem::{certificates, roots},
    rotating::Rotating,
};
use crate::config::Peers;
use anyhow::{Context as _, anyhow, ensure};
use axum::http::HeaderValue;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Credentials and trust, from files that are read again when they change.
#[derive(Default)]
pub struct Access {
    tls: Option<Rotating<ClientConfig>>,
    token: Option<Rotating<HeaderValue>>,
}

impl Access {
    /// That of the configuration, whose own token is sent where no other one is given.
    ///
    /// # Errors
    /// A file cannot be read, or what is in it cannot be used.
    pub fn new(peers: &Peers, own_token: Option<&Path>) -> anyhow::Result<Self> {
        let is_https = peers.urls().map_err(anyhow::Error::msg)?.iter().any(|url| url.is_https);
        if !is_https {
            return Ok(Self::default());
        }
        let identity = peers.certificate.iter().chain(&peers.key);
        let files = identity.chain(&peers.ca).cloned().collect();
        let token = peers.token_file.as_deref().or(own_token);
        Ok(Self {
            tls: Some(Rotating::new(files, config).context("cannot use what api.peers has for https")?),
            token: token
                .map(|file| Rotating::new(vec![file.to_owned()], header).context("cannot use the token for api.peers"))
                .transpose()?,
        })
    }

    /// The configuration of TLS; `None` when no peer has an https URL.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.as_ref().map(Rotating::current)
    }

    /// The header with the token, which is sent encrypted or not at all.
    pub fn token(&self, is_https: bool) -> Option<HeaderValue> {
        let token = self.token.as_ref().filter(|_| is_https);
        token.map(|token| HeaderValue::clone(&token.current()))
    }
}

/// Of none, a CA, a certificate and its key, or these and a CA.
fn config(files: &[PathBuf], contents: &[Vec<u8>]) -> anyhow::Result<ClientConfig> {
    let name = |n: usize| files[n].display();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match contents.len() % 2 {
        0 => builder.with_native_roots().map_err(|_| {
            anyhow!(
                "this system has no CA certificates: install ca-certificates, or set api.peers.ca to a file with yours"
            )
        })?,
        _ => {
            let last = contents.len() - 1;
            let roots = roots(&contents[last]).with_context(|| format!("cannot use the CAs {}", name(last)))?;
            builder.with_root_certificates(roots)
        }
    };
    let mut config = match contents {
        [chain, key, ..] => {
            let chain = certificates(chain).with_context(|| format!("cannot use the certificate {}", name(0)))?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .with_context(|| format!("cannot use the private key {}: expected PEM", name(1)))?;
            let both = builder.with_client_auth_cert(chain, key);
            both.with_context(|| format!("{} is not the private key of the certificate {}", name(1), name(0)))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn header(files: &[PathBuf], contents: &[Vec<u8>]) -> anyhow::Result<HeaderValue> {
    let file = files[0].display();
    let token = contents[0].trim_ascii();
    ensure!(!token.is_empty(), "the bearer token in {file} is empty");
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).with_context(|| {
        format!("the bearer token in {file} has characters that no token may have, such as line breaks")
    })?;
    header.set_sensitive(true);
    Ok(header)
}
