//! Generates Envoy's bootstrap configuration.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::listener::{Listener, Route};
use super::options::{Options, Tls};

/// The configuration; the admin interface is the Unix socket `admin`.
pub(super) fn bootstrap(listeners: &[Listener], options: &Options<'_>, admin: &Path) -> Value {
    json!({
        "admin": { "address": { "pipe": { "path": admin } } },
        "static_resources": {
            "listeners": listeners.iter().enumerate().map(|one| listener(one, options)).collect::<Vec<_>>(),
            "clusters": listeners.iter().enumerate().flat_map(clusters).collect::<Vec<_>>(),
        },
    })
}

fn listener((index, listener): (usize, &Listener), options: &Options<'_>) -> Value {
    let (ip, port) = (listener.address.ip(), listener.address.port());
    let filters = match listener.route {
        Route::To(_) | Route::ByPath(_) => json!([]),
        Route::AsAsked => json!([typed(
            "envoy.filters.listener.proxy_protocol",
            "filters.listener.proxy_protocol.v3.ProxyProtocol",
            json!({})
        )]),
    };
    let proxy = match &listener.route {
        Route::ByPath(endpoints) => http_proxy(index, port, endpoints.len()),
        Route::To(_) | Route::AsAsked => typed(
            "envoy.filters.network.tcp_proxy",
            "filters.network.tcp_proxy.v3.TcpProxy",
            json!({ "stat_prefix": format!("tcp_{port}"), "cluster": format!("cluster_{index}") }),
        ),
    };
    let mut chain = json!({ "filters": [proxy] });
    if let Some(tls) = &options.tls {
        chain["transport_socket"] = transport_socket(tls);
    }
    let mut listener = json!({
        "name": format!("listener_{index}"),
        "address": address(SocketAddr::new(ip, port)),
        "listener_filters": filters,
        "filter_chains": [chain],
    });
    if let Some(backlog) = options.backlog {
        listener["tcp_backlog_size"] = json!(backlog);
    }
    listener
}

fn http_proxy(index: usize, port: u16, endpoints: usize) -> Value {
    let routes = (0..endpoints).map(|n| {
        json!({
            "match": { "prefix": format!("/{n}") },
            "route": { "cluster": format!("cluster_{index}_{n}") },
        })
    });
    let router = typed("envoy.filters.http.router", "filters.http.router.v3.Router", json!({}));
    typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": format!("http_{port}"),
            "codec_type": "HTTP1",
            "http_filters": [router],
            "route_config": {
                "name": "by_path",
                "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes.collect::<Vec<_>>() }],
            },
        }),
    )
}

/// Mutual TLS with versions 1.2 and 1.3.
fn transport_socket(tls: &Tls<'_>) -> Value {
    let certificate = json!({
        "certificate_chain": { "inline_string": tls.identity.certificate_pem },
        "private_key": { "inline_string": tls.identity.key_pem },
    });
    let context = json!({
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [certificate],
            "validation_context": { "trusted_ca": { "inline_string": tls.trusted.pem() } },
        },
    });
    typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        context,
    )
}

fn clusters((index, listener): (usize, &Listener)) -> Vec<Value> {
    match &listener.route {
        Route::To(endpoints) => vec![cluster(&format!("cluster_{index}"), endpoints)],
        Route::AsAsked => vec![json!({
            "name": format!("cluster_{index}"),
            "connect_timeout": "5s",
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
        })],
        Route::ByPath(endpoints) => (endpoints.iter().enumerate())
            .map(|(n, endpoint)| cluster(&format!("cluster_{index}_{n}"), &[*endpoint]))
            .collect(),
    }
}

fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|endpoint| json!({ "endpoint": { "address": address(*endpoint) } }))
        .collect();
    json!({
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn address(of: SocketAddr) -> Value {
    json!({ "socket_address": { "address": of.ip(), "port_value": of.port() } })
}

/// An extension of Envoy with its configuration.
fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    json!({ "name": name, "typed_config": config })
}
