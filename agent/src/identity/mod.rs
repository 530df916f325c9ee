//! Who an address, a network namespace or a cgroup is.

mod address;
mod inventory;
mod resolver;

pub use inventory::{Entry, Inventory};
pub use resolver::{Binding, Peer, Resolver};

use crate::points::Point;
use serde::Serialize;
use std::sync::Arc;

/// The owner of pods, or of processes: what connections are attributed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its service account.
    pub service_account: String,
    /// Its identity in its mesh's own form.
    pub principal: String,
}

/// The SPIFFE ID of a service account, as Istio and SPIRE write it by default
/// (<https://istio.io/latest/docs/concepts/security/#secure-naming>).
pub fn spiffe(trust_domain: &str, namespace: &str, service_account: &str) -> String {
    format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
}

/// One entry's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A workload.
    Workload(Arc<Workload>),
    /// An enforcement point.
    Point(Arc<Point>),
}
