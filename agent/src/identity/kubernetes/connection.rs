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

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use narrows_testbed::kubernetes::{ApiServer, Resource};
    use nix::sys::socket::{SockaddrStorage, getpeername, getsockopt, sockopt::TcpNoDelay};
    use serde_json::json;
    use std::os::fd::{BorrowedFd, RawFd};

    async fn config(server: &ApiServer) -> Config {
        let file = Kubeconfig::read_from(server.kubeconfig()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(file, &options)
            .await
            .expect("a configuration")
    }

    async fn list(client: &Client) -> String {
        let request = hyper::Request::get("/api/v1/services")
            .body(Vec::new())
            .expect("a request");
        client.request_text(request).await.expect("a list")
    }

    /// TCP_NODELAY of this process's sockets that are connected to the server.
    fn no_delay(server: &ApiServer) -> Vec<bool> {
        let files = std::fs::read_dir("/proc/self/fd").expect("open files");
        let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
        let ours = numbers.filter(|number| {
            let peer = getpeername::<SockaddrStorage>(*number).ok();
            peer.is_some_and(|peer| peer.to_string() == server.address().to_string())
        });
        ours.map(|number| {
            // SAFETY: the client of the calling test holds the socket open until after this.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            getsockopt(&socket, TcpNoDelay).expect("the option")
        })
        .collect()
    }

    #[tokio::test]
    async fn it_sends_at_once_says_who_it_is_and_takes_compressed_lists() {
        let server = ApiServer::start().expect("an API server");
        let many = (0..2_000).map(|n| json!({ "metadata": { "name": format!("service-{n}") } }));
        server.put_all(Resource::Services, many);
        let config = config(&server).await;
        let mut plain = config.clone();
        plain.disable_compression = true;
        let [plain, client] = [plain, config].map(|config| client(config).expect("a client"));
        let text = list(&client).await;
        assert_eq!(text, list(&plain).await, "the same after decompression");
        assert_eq!(no_delay(&server), [true, true]);
        let asked = server.asked();
        assert_eq!((asked[0].gzip, asked[1].gzip), (true, false));
        assert!(asked[0].bytes() * 5 < asked[1].bytes(), "{asked:?}");
        assert_eq!(asked[1].bytes(), text.len() as u64);
        assert!(
            asked
                .iter()
                .all(|asked| asked.user_agent.as_deref() == Some(USER_AGENT))
        );
    }

    #[tokio::test]
    async fn a_proxy_is_refused_with_what_to_do() {
        let server = ApiServer::start().expect("an API server");
        let mut config = config(&server).await;
        config.proxy_url = Some("http://proxy.example:3128".parse().expect("a URI"));
        let error = client(config).err().expect("it is refused").to_string();
        assert!(
            error.contains("http://proxy.example:3128") && error.contains("NO_PROXY"),
            "{error}"
        );
    }
}
