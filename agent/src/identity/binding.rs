//! The ends of a flow, and what is still unknown about them.

use super::{Identity, Workload};
use crate::{clock::Millis, points::Point};
use std::{collections::HashSet, sync::Arc};

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A workload, from the cluster or the inventory.
    Workload(Arc<Workload>),
    /// An enforcement point: a mesh proxy that has a series of its own.
    Point(Arc<Point>),
    /// A node: this one, or another one of the cluster.
    Node,
    /// A named range of addresses (`networks` in the configuration), in which no known workload or point holds the address.
    Network(Arc<Workload>),
    /// A global address outside the cluster that no known workload or point holds.
    External,
    /// Not known, or several hold the address.
    Unknown,
}

impl Endpoint {
    /// Who connections with this end are counted for by name: a workload, or a network.
    pub const fn named(&self) -> Option<&Arc<Workload>> {
        match self {
            Self::Workload(named) | Self::Network(named) => Some(named),
            Self::Point(_) | Self::Node | Self::External | Self::Unknown => None,
        }
    }
}

impl From<Identity> for Endpoint {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Workload(workload) => Self::Workload(workload),
            Identity::Point(point) => Self::Point(point),
        }
    }
}

/// A network namespace of this node: the workload in it, and the waypoints expected on the way to that workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The workload that the network namespace belongs to.
    pub workload: Arc<Workload>,
    /// Waypoints (`<namespace>/<name>`), one of which connections to the workload should pass.
    pub waypoints: Arc<[String]>,
}

/// The interval in which something happened: between two readings of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When the previous reading was taken.
    pub from: Millis,
    /// When the reading that found it was taken.
    pub to: Millis,
}

/// A question: who owns the sockets of this cgroup in this network namespace? Only the [`Observer`](super::Observer) can find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The cgroup's id: that of its kernfs node.
    pub cgroup: u64,
    /// The inode number of the network namespace.
    pub netns: u32,
}

/// What is to be inspected before the answers are final, without duplicates.
pub type Questions = HashSet<Question>;

/// Who a flow belongs to.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Who owns the sockets.
    pub owner: Endpoint,
    /// The workload whose network namespace the sockets are in.
    pub place: Option<Arc<Workload>>,
    /// What is at the remote end.
    pub peer: Endpoint,
    /// The owner is a container of a pod about which more will become known.
    pub expected: bool,
    /// Late updates cannot change the answer.
    pub sure: bool,
    /// What the observer has to inspect: its answer arrives within the tick, and until then this binding must not be used for
    /// counting.
    pub question: Option<Question>,
    /// The [`Identities::generation`](super::Identities::generation) that this was determined with.
    pub generation: u64,
}

impl Binding {
    /// Whether this end of the flow is known.
    pub fn knows_local(&self) -> bool {
        !self.expected && (self.owner != Endpoint::Unknown || self.place.is_some())
    }

    /// Whether a better answer may come later.
    pub fn incomplete(&self) -> bool {
        self.peer == Endpoint::Unknown || !self.knows_local()
    }

    /// Whether both ends are the same as in another binding.
    pub fn same_ends(&self, other: &Self) -> bool {
        self.owner == other.owner && self.place == other.place && self.peer == other.peer
    }

    /// The workload that this end of the flow is attributed to: the owner of the sockets, or the workload that the point acts for.
    pub fn workload(&self) -> Option<&Arc<Workload>> {
        match &self.owner {
            Endpoint::Workload(workload) => Some(workload),
            _ => self.place.as_ref(),
        }
    }

    /// The point that owns the sockets.
    pub fn point(&self) -> Option<&Arc<Point>> {
        match &self.owner {
            Endpoint::Point(point) => Some(point),
            _ => None,
        }
    }
}
