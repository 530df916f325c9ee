//! What was found at the ends of connections.

use crate::identity::Endpoint;

/// Which end of a connection an identity was looked for at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The end on this node, whose socket was seen.
    Local,
    /// The end that this node's sockets are connected with.
    Remote,
}

/// What kind of [`Endpoint`] was found at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Found {
    /// A workload of the mesh.
    Workload,
    /// An enforcement point.
    Point,
    /// The node itself, as for probes.
    Node,
    /// An address outside of the cluster.
    External,
    /// Nobody who is known.
    Unknown,
}

impl From<&Endpoint> for Found {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Workload(_) => Self::Workload,
            Endpoint::Point(_) => Self::Point,
            Endpoint::Node => Self::Node,
            Endpoint::External => Self::External,
            Endpoint::Unknown => Self::Unknown,
        }
    }
}
