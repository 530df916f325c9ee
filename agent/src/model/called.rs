//! Points as their callers see them.

use crate::{
    histogram::Histogram,
    points::{Kind, Mesh, Point},
};
use agent_common::{Flow, Reason};

/// A point as its callers see it: by name, not by instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalledPoint {
    /// Namespace and name, as `<namespace>/<name>`.
    pub name: String,
    /// What kind of proxy it is.
    pub kind: Kind,
    /// The mesh that it belongs to.
    pub mesh: Mesh,
}

impl From<&Point> for CalledPoint {
    fn from(point: &Point) -> Self {
        Self {
            name: point.name.clone(),
            kind: point.kind,
            mesh: point.mesh,
        }
    }
}

/// What the calling sockets on this node show about a point.
#[derive(Clone, Debug, Default)]
pub struct Called {
    /// Handshakes with the point that completed.
    pub opened: u64,
    /// Failed connections to the point, by [`agent_common::Reason`].
    pub failures: [u64; Reason::COUNT],
    /// SYNs that the callers retransmitted.
    pub syn_retransmits: u64,
    /// Durations of the handshakes.
    pub connect: Histogram,
}

impl Called {
    /// Adds the change of a flow's counters.
    pub fn add(&mut self, delta: &Flow) {
        self.opened += delta.opened;
        self.syn_retransmits += delta.syn_retransmits;
        for (total, new) in self.failures.iter_mut().zip(delta.failures) {
            *total += new;
        }
        self.connect.add(&delta.connect, delta.connect_us);
    }
}
