//! Who an address, a network namespace or a cgroup is, in two halves.
//!
//! The [`Observer`] looks: it walks the tree of cgroups, reads processes and namespaces, and takes what the inventory and the cluster
//! say. What it knows, it lends as a [`Directory`], whose answers are functions of what is in there. An answer that is not known
//! comes with a [`Question`], which whoever asked hands back to the observer.
//!
//! ```text
//! /sys/fs/cgroup, /proc, cgroup events, inventory, cluster ──▶ Observer ──lends──▶ Directory ──bind──▶ model, failures
//!                                                                  ▲                                        │
//!                                                                  └───────────────questions────────────────┘
//! ```

mod address;
mod binding;
mod directory;
mod entries;
mod history;
mod identities;
mod inventory;
pub mod kubernetes;
mod namespaces;
mod observer;
mod owners;
mod waiting;

pub use address::address_of;
pub use binding::{Binding, Endpoint, Neighbourhood, Question, Questions, Span};
pub use directory::{Directory, NodeDirectory};
pub use entries::Entries;
pub use history::{Held, RESOLUTION};
pub use identities::Identities;
pub use inventory::{Entry, Inventory};
pub use namespaces::{Namespaces, Place};
pub use observer::Observer;
pub use owners::{Cgroup, CgroupOwners, Named, Owner};
pub use waiting::{Lane, Queue, Waiting};

use crate::points::Point;
use serde::Serialize;
use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The owner of pods, or of processes: what connections are attributed to.
///
/// Two are the same when namespace, name and principal are: that is what its series are told apart by.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// What it is: `Deployment`, `StatefulSet`, … or `Workload` for one of the inventory.
    pub kind: Cow<'static, str>,
    /// Its name.
    pub name: String,
    /// Its service account.
    pub service_account: String,
    /// Its identity in its mesh's own form.
    pub principal: String,
}

impl Workload {
    fn key(&self) -> (&str, &str, &str) {
        (&self.namespace, &self.name, &self.principal)
    }
}

impl PartialEq for Workload {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Workload {}

impl Hash for Workload {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Workload {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Workload {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
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

/// How it is called in messages.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => write!(f, "workload {}/{}", workload.namespace, workload.name),
            Self::Point(point) => write!(f, "{} {}", point.kind.label(), point.name),
        }
    }
}
