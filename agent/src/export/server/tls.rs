//! TLS of the API's own address.

use super::super::{
    pem::{certificates, roots},
    rotating::Rotating,
};
use crate::config::Files;
use anyhow::Context;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::{path::PathBuf, sync::Arc};

/// The server's certificate, and whose clients it trusts.
///
/// # Errors
/// A file cannot be read, or what is in it cannot be used.
pub fn tls(files: &Files) -> anyhow::Result<Rotating<ServerConfig>> {
    let own = [files.certificate.clone(), files.key.clone()];
    let all = own.into_iter().chain(files.client_ca.clone()).collect();
    Rotating::new(all, config)
}

fn config(files: &[PathBuf], contents: &[Vec<u8>]) -> anyhow::Result<ServerConfig> {
    let (names, provider) = (
        files.iter().map(|file| file.display()),
        Arc::new(ring::default_provider()),
    );
    let names: Vec<_> = names.collect();
    let chain = certificates(&contents[0]).with_context(|| format!("cannot use the certificate {}", names[0]))?;
    let key = PrivateKeyDer::from_pem_slice(&contents[1])
        .with_context(|| format!("cannot use the private key {}: expected PEM", names[1]))?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match contents.get(2) {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let what = || format!("cannot use the CAs of clients {}", names[2]);
            let roots = roots(authorities).with_context(what)?;
            // Without a certificate there is an answer that says what is lacking, or a token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .with_context(what)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .with_context(|| format!("{} is not the private key of the certificate {}", names[1], names[0]))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would outlive the CA that its client had a certificate of.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
