//! What was found at the ends of connections.

use crate::identity::Endpoint;

/// The end of a connection at which an identity was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The end on this node, whose socket was seen.
    Local,
    /// The end that the socket on this node is connected to.
    Remote,
}

/// What kind of [`Endpoint`] was found at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Found {
    /// A workload of the mesh.
    Workload,
    /// An enforcement point of a mesh.
    Point,
    /// The node itself, as for probes.
    Node,
    /// An address outside of the cluster, or in a named range.
    External,
    /// No identity is known.
    Unknown,
}

impl Found {
    /// The value of its label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Point => "point",
            Self::Node => "node",
            Self::External => "external",
            Self::Unknown => "unknown",
        }
    }
}

impl From<&Endpoint> for Found {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Workload(_) => Self::Workload,
            Endpoint::Point(_) => Self::Point,
            Endpoint::Node => Self::Node,
            Endpoint::Network(_) | Endpoint::External => Self::External,
            Endpoint::Unknown => Self::Unknown,
        }
    }
}
