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
}

/// A listener of the proxy.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Where its connections are forwarded.
    pub route: Route,
}
