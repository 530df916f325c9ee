//! Pairs of caller and called, as they appear in labels.

use crate::identity::{EXTERNAL, Endpoint, Workload};
use std::sync::Arc;

/// An end of a connection, as it appears in the labels of pairs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PairEnd {
    /// A workload of the mesh, or a named range of addresses.
    Workload(Arc<Workload>),
    /// A point, by name.
    Point(String),
    /// An address outside of the cluster.
    External,
    /// The node itself.
    Node,
    /// No identity is known.
    Unknown,
}

impl PairEnd {
    /// The values of the labels for namespace and name.
    pub fn labels(&self) -> (&str, &str) {
        match self {
            Self::Workload(workload) => (&workload.namespace, &workload.name),
            Self::Point(name) => name.split_once('/').unwrap_or(("", name)),
            Self::External => (EXTERNAL, EXTERNAL),
            Self::Node => ("node", "node"),
            Self::Unknown => ("unknown", "unknown"),
        }
    }

    /// `None` for the node itself: its probes are not traffic of the mesh.
    pub(super) fn of(endpoint: &Endpoint) -> Option<Self> {
        (*endpoint != Endpoint::Node).then(|| Self::of_any(endpoint))
    }

    /// Also the node itself.
    pub(super) fn of_any(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Workload(named) | Endpoint::Network(named) => Self::Workload(named.clone()),
            Endpoint::Point(point) => Self::Point(point.name.clone()),
            Endpoint::Node => Self::Node,
            Endpoint::External => Self::External,
            Endpoint::Unknown => Self::Unknown,
        }
    }
}

/// The two ends of a connection: caller and called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// The end that opened the connection.
    pub source: PairEnd,
    /// The end that accepted the connection.
    pub destination: PairEnd,
}
