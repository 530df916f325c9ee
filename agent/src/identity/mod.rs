//! Resolves addresses, network namespaces and cgroups to identities, in two halves.
//!
//! The [`Observer`] does the I/O: it walks the cgroup tree, reads processes and namespaces, and takes over updates of the inventory
//! and the cluster. It lends what it knows as a [`Directory`], whose answers are pure functions of its contents. An incomplete
//! answer comes with a [`Question`], which the caller passes on to the observer.
//!
//! ```text
//! /sys/fs/cgroup, /proc, cgroup events, inventory, cluster ──▶ Observer ──lends──▶ Directory ──bind──▶ model, failures
//!                                                                  ▲                                        │
//!                                                                  └───────────────questions────────────────┘
//! ```

mod address;
mod binding;
mod caller;
mod directory;
mod entries;
mod history;
mod identities;
mod inventory;
pub mod kubernetes;
mod namespaces;
mod networks;
mod observer;
mod owners;
mod waiting;

pub use address::address_of;
pub use binding::{Binding, Endpoint, Neighbourhood, Question, Questions, Span};
#[cfg(test)]
pub(crate) use caller::tests::workload as numbered;
pub use caller::{CalledBy, Upstream};
pub use directory::{Directory, NodeDirectory};
pub use entries::Entries;
pub use history::{Held, RESOLUTION};
pub use identities::Identities;
pub use inventory::{Entry, Inventory};
pub use namespaces::{Namespaces, Place};
pub use networks::{EXTERNAL, KnownNetworks};
pub use observer::Observer;
pub use owners::{Cgroup, CgroupOwners, Named, Owner};
pub use waiting::{Lane, Queue, Waiting};

use crate::points::{Mesh, Point};
use serde::Serialize;
use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The owner of pods or processes, to which connections are attributed.
///
/// Two are equal when namespace, name and principal are: these are the labels of its series.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    /// The Kubernetes namespace, or that of the inventory's entry.
    pub namespace: String,
    /// The kind of the owner: `Deployment`, `StatefulSet`, …; `Workload` for an entry of the inventory, `Network` for a named range
    /// of addresses.
    pub kind: Cow<'static, str>,
    /// The owner's name, unique within its namespace and kind.
    pub name: String,
    /// The service account that its pods run as.
    pub service_account: String,
    /// Its identity in the form of its mesh, such as a SPIFFE ID; empty when it is in none.
    pub principal: String,
    /// What it does for the mesh or the cluster, as its labels or the inventory tell; `None` for an application.
    #[serde(skip)]
    pub duty: Option<Duty>,
}

/// A duty for the mesh or the cluster that makes a workload call others directly, past their points, as it is meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It collects metrics from the pods themselves.
    Scraper,
    /// It is a part of the control plane of this mesh; of which one, `None` leaves open.
    ControlPlane(Option<Mesh>),
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

/// What an address, a network namespace or a cgroup belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A workload, from the cluster or the inventory.
    Workload(Arc<Workload>),
    /// An enforcement point: a mesh proxy that has a series of its own.
    Point(Arc<Point>),
}

/// The form used in messages.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => write!(f, "workload {}/{}", workload.namespace, workload.name),
            Self::Point(point) => write!(f, "{} {}", point.kind.label(), point.name),
        }
    }
}
