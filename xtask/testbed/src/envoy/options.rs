//! How Envoy is run.

use crate::authority::{Authority, Identity};

/// What is not as usual.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Worker threads, each with a listening socket of its own.
    pub workers: u32,
    /// The bound of each listening socket's queue; without one it is as large as the kernel allows.
    pub backlog: Option<u32>,
    /// TLS on all listeners, towards who connects to them.
    pub tls: Option<Tls<'a>>,
}

/// TLS with a certificate for both ends.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// What Envoy shows.
    pub identity: &'a Identity,
    /// Whose certificates of clients it accepts; without one nobody gets in.
    pub trusted: &'a Authority,
}

impl Default for Options<'_> {
    /// One worker, nothing else.
    fn default() -> Self {
        Self {
            workers: 1,
            backlog: None,
            tls: None,
        }
    }
}
