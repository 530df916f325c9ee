//! The connection to the API server: the client of `kube` over a stack of our own.
//!
//! The client's own stack logs each failed attempt as an error, beside the one warning of the agent's, and leaves Nagle's
//! algorithm on, which delays each new TLS connection by 40 ms: the peer delays its acknowledgement of the handshake's first
//! segment, and the second one waits for it. Otherwise this is the same: address, credentials, time limits.

use anyhow::Context;
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt},
};
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

/// How the agent names itself: API servers have it in their audit logs, and in their metrics of requests.
const USER_AGENT: &str = concat!("narrows/", env!("CARGO_PKG_VERSION"));

/// The time limit for a connection, its TLS handshake included.
const CONNECT: Duration = Duration::from_secs(10);

/// A client of the API server. It connects when it is first used, within a runtime.
///
/// # Errors
/// When the configuration asks for a proxy, or has certificates or credentials that cannot be used.
pub fn client(mut config: Config) -> anyhow::Result<Client> {
    if let Some(proxy) = &config.proxy_url {
        anyhow::bail!(
            "the Kubernetes API server {} is to be reached through the proxy {proxy}, which the agent cannot do: take \
             `proxy-url` out of the file that KUBECONFIG names, or name the API server in NO_PROXY",
            config.cluster_url
        );
    }
    config.headers.push((
        hyper::header::USER_AGENT,
        hyper::header::HeaderValue::from_static(USER_AGENT),
    ));
    let setup = "cannot set up the connection to the Kubernetes API server";
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = config.rustls_https_connector_with_connector(tcp).context(setup)?;
    let mut connector = TimeoutConnector::new(tls);
    connector.set_connect_timeout(Some(CONNECT));
    let http: Http<_, Body> = Http::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        // Lists; an API server compresses no watch.
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .option_layer(config.auth_layer().context(setup)?)
        .layer(config.extra_headers_layer().context(setup)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
