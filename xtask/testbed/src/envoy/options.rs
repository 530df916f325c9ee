//! Options of an Envoy.

use crate::authority::{Authority, Identity};

/// Settings that differ from the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Worker threads, each with a listening socket of its own.
    pub workers: u32,
    /// The backlog of each listening socket; by default as large as the kernel allows.
    pub backlog: Option<u32>,
    /// TLS on all listeners, for downstream connections.
    pub tls: Option<Tls<'a>>,
}

/// TLS with a certificate for both ends.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// The certificate that Envoy presents.
    pub identity: &'a Identity,
    /// The authority whose client certificates it accepts; clients without one are rejected.
    pub trusted: &'a Authority,
}

impl Default for Options<'_> {
    /// One worker, without TLS.
    fn default() -> Self {
        Self {
            workers: 1,
            backlog: None,
            tls: None,
        }
    }
}
