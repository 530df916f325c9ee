//! The ends of a flow, and what is not known of them yet.

use super::{Identity, Workload};
use crate::{clock::Millis, points::Point};
use std::{collections::HashSet, sync::Arc};

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A workload.
    Workload(Arc<Workload>),
    /// An enforcement point.
    Point(Arc<Point>),
    /// A node: this one, or another one of the cluster.
    Node,
    /// An address outside: global, and in nobody's hands that is known.
    External,
    /// Not known, or several hold the address.
    Unknown,
}

impl From<Identity> for Endpoint {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Workload(workload) => Self::Workload(workload),
            Identity::Point(point) => Self::Point(point),
        }
    }
}

/// A network namespace of this node: whose, and what is expected on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The workload.
    pub workload: Arc<Workload>,
    /// Waypoints (`<namespace>/<name>`) through one of which it is to be reached.
    pub waypoints: Arc<[String]>,
}

/// When something happened, at some moment between two readings of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The reading before.
    pub from: Millis,
    /// The reading that found it.
    pub to: Millis,
}

/// Whose are the sockets of this cgroup, which are in this network namespace? Only the [`Observer`](super::Observer) can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The cgroup.
    pub cgroup: u64,
    /// The network namespace.
    pub netns: u32,
}

/// What is to be looked at before the answers are final; each only once.
pub type Questions = HashSet<Question>;

/// Who a flow belongs to.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Who owns the sockets.
    pub owner: Endpoint,
    /// Whose network namespace they are in.
    pub place: Option<Arc<Workload>>,
    /// The other end.
    pub peer: Endpoint,
    /// The owner is a container of a pod, and more will be known of it.
    pub expected: bool,
    /// Updates that come late cannot change the answer.
    pub sure: bool,
    /// What the observer is to look at: its answer comes within the tick, and until then this one is not to be counted by.
    pub question: Option<Question>,
    /// The [`Identities::generation`](super::Identities::generation) this was found with.
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

    /// Whether both ends are the same as in another one.
    pub fn same_ends(&self, other: &Self) -> bool {
        self.owner == other.owner && self.place == other.place && self.peer == other.peer
    }

    /// The workload that this end of the flow is about: whose sockets they are, or in whose name the point acts.
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
