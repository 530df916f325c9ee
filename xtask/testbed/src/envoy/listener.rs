//! Listeners of Envoy.

use std::net::SocketAddr;

/// Where a listener forwards its connections.
#[derive(Debug, Clone)]
pub enum Route {
    /// To these endpoints in turn.
    To(Vec<SocketAddr>),
    /// To the destination that a PROXY header at the start of the connection names, as a
    /// [`Ztunnel`](crate::ztunnel::Ztunnel) sends it.
    AsAsked,
    /// As HTTP/1.1: requests for `/0`, `/1`, … to the endpoint with that number.
    ByPath(Vec<SocketAddr>),
}

/// A listener of the proxy.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Where its connections are forwarded.
    pub route: Route,
}
