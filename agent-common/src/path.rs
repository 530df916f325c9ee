//! Paths through a point: whose traffic the connections carry that it opens.

use crate::{
    FlowKey, Reason, Role,
    declare::{counters, labels},
};

labels! {
    /// How the caller of a point's upstream connection is known: the `certainty` label.
    Certainty: u8 {
        /// It is not known.
        Unknown = "unknown",
        /// The thread that opened or wrote to the connection had no other caller's data to forward.
        Certain = "certain",
        /// One of several callers whose data the thread had to forward.
        Estimated = "estimated",
    }
}

/// What is kept of the connections that a thread of a point has read from, in words of 8 bytes: nine connections, and what is known
/// of their order.
pub const READS_WORDS: usize = 9 * 5 + 3;

/// A caller of a point: the peer of a connection that the point has accepted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its address as IPv6; IPv4 is mapped. All zero: not known.
    pub address: [u32; 4],
    /// Inode number of the network namespace in which the point accepted the connection.
    pub netns: u32,
    /// The point's port that it called, in host byte order.
    pub port: u16,
    /// Zero, so that the structure has no implicit padding.
    pub reserved: u16,
}

/// What upstream connections of points are counted by: their caller and their destination.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathKey {
    /// The id of the point's cgroup.
    pub cgroup: u64,
    /// Whose traffic they carry.
    pub caller: Caller,
    /// Their own address. A proxy that opens its connections in the namespaces of workloads gives them its caller's.
    pub own: [u32; 4],
    /// The address of the destination.
    pub peer: [u32; 4],
    /// Inode number of the network namespace that they are in.
    pub netns: u32,
    /// The port of the destination, in host byte order.
    pub port: u16,
    /// The number of a [`Certainty`].
    pub certainty: u16,
    /// Counts of a generation are final once the next one has begun.
    pub generation: u32,
    /// Zero, so that the structure has no implicit padding.
    pub reserved: u32,
}

impl PathKey {
    /// The flow of the connections.
    #[must_use]
    pub const fn upstream(&self) -> FlowKey {
        FlowKey {
            cgroup: self.cgroup,
            peer: self.peer,
            netns: self.netns,
            port: self.port,
            role: Role::Client as u8,
            generation: 0,
        }
    }
}

impl Caller {
    /// No caller is known.
    pub const NOBODY: Self = Self {
        address: [0; 4],
        netns: 0,
        port: 0,
        reserved: 0,
    };

    /// The flow of the caller's connections to the point with this cgroup.
    #[must_use]
    pub const fn downstream(&self, cgroup: u64) -> FlowKey {
        FlowKey {
            cgroup,
            peer: self.address,
            netns: self.netns,
            port: self.port,
            role: Role::Server as u8,
            generation: 0,
        }
    }
}

counters! {
    /// What is counted for one [`PathKey`].
    PathCounts<L = u64> {
        /// Connections: when they first carry data, or end without any.
        connections: L,
        /// Flights of data that the point sent: a request of HTTP/1.1 is one.
        turns: L,
        /// Failed connections and attempts by [`Reason`]. A reason may be corrected a moment later, so a difference may be negative.
        failures: [L; Reason::COUNT],
    }
}
