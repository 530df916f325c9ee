/// The role of a socket; decides the `side` of its metrics.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It opened the connection: the upstream side of a proxy.
    Client = 0,
    /// It came out of an accept queue: the downstream side of a proxy.
    Server = 1,
    /// It listens: its accept queue and drops are counted.
    Listener = 2,
}

impl Role {
    /// The number of roles.
    pub const COUNT: u32 = 3;

    /// The role behind a [`FlowKey::role`].
    #[must_use]
    pub const fn from_u8(role: u8) -> Option<Self> {
        match role {
            0 => Some(Self::Client),
            1 => Some(Self::Server),
            2 => Some(Self::Listener),
            _ => None,
        }
    }
}

/// What connections are counted by: owner, network namespace, role, peer address and service port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Id of the cgroup that owns the socket (on cgroup2, the inode number of its directory).
    pub cgroup: u64,
    /// Address of the other end as IPv6; IPv4 is mapped (`::ffff:a.b.c.d`). All zero: unspecified, as in the
    /// overflow entry of an owner and for listeners.
    pub peer: [u32; 4],
    /// Inode number of the network namespace that the socket is in.
    pub netns: u32,
    /// Port of the service, in host byte order: the peer's for a client, the socket's own for a server or listener.
    pub port: u16,
    /// The number of a [`Role`].
    pub role: u8,
    /// 0 or 1. No program writes to a flow that is being removed from the table; connections that end meanwhile
    /// are counted in the entry with the other generation.
    pub generation: u8,
}

/// Number of buckets of a [`Flow`]'s histograms.
pub const BUCKETS: usize = 28;

/// The histogram bucket of a duration in microseconds: bucket `i` counts `2^i ..= 2^(i+1) - 1`, bucket 0 also 0, and
/// the last one everything from 2^27 µs (134 s) on.
#[inline(always)]
#[must_use]
pub const fn bucket(microseconds: u32) -> usize {
    let log2 = 31 - (microseconds | 1).leading_zeros() as usize;
    if log2 < BUCKETS { log2 } else { BUCKETS - 1 }
}

/// The counters of one flow. They only grow, except when the reason of a failure is corrected (see `failures`).
///
/// User space reads them as integers; in the kernel programs, which write them from several CPUs at once, they are cells of the
/// same size (`L` of 64 bits, `W` of 32). A reading copies the fields in the order of their declaration, while a program may be
/// writing: `closed` comes before `opened`, so that no reading shows an end without its beginning, and `carried`
/// after it, as it is counted earlier.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<L = u64, W = u32> {
    /// Established connections (or listeners) that ended. `opened + adopted - closed` are open.
    pub closed: L,
    /// Handshakes completed (for a listener: sockets that began to listen).
    pub opened: L,
    /// Connections that were open when the agent started.
    pub adopted: L,
    /// Of `opened`, those whose other end is a socket of a point in the same network namespace: connections to a server that a
    /// point delivered, and connections of a client that a point accepted. Only while there are points on the node.
    pub carried: L,
    /// The id of the cgroup of the point that carried the last of these; 0 for none.
    pub carrier: L,
    /// Payload bytes received by the owner.
    pub received: L,
    /// Payload bytes sent by the owner, without retransmissions.
    pub sent: L,
    /// Segments retransmitted on established connections.
    pub retransmits: L,
    /// Retransmitted SYNs (client) or SYN-ACKs (server).
    pub syn_retransmits: L,
    /// Handshakes that a listener dropped.
    pub drops: L,
    /// Sum of the handshake durations in `connect`, in microseconds.
    pub connect_us: L,
    /// Sum of the round-trip times in `round_trip`, in microseconds.
    pub round_trip_us: L,
    /// Failed connections by [`crate::Reason`]. A reset that was counted as the peer's, and is reported as this end's own a moment
    /// later, moves from one reason to the other.
    pub failures: [L; crate::Reason::COUNT],
    /// Handshake durations of a client's connections, by [`bucket`].
    pub connect: [W; BUCKETS],
    /// Smoothed round-trip times of connections with traffic, one sample per connection and tick, by [`bucket`].
    pub round_trip: [W; BUCKETS],
    /// 1 when the flow is about to be removed: no program writes to it any more.
    pub retired: W,
    /// The second (of `CLOCK_MONOTONIC`) that `events` refers to.
    pub events_second: W,
    /// Failure events sent in that second.
    pub events: W,
    /// Connections that the last walk over open files found, with the walk's number: see [`one_more_seen`]. Maintained only while
    /// ends are missing.
    pub seen: W,
}

impl Flow {
    /// A flow without counts.
    pub const ZERO: Self = Self {
        closed: 0,
        opened: 0,
        adopted: 0,
        carried: 0,
        carrier: 0,
        received: 0,
        sent: 0,
        retransmits: 0,
        syn_retransmits: 0,
        drops: 0,
        connect_us: 0,
        round_trip_us: 0,
        failures: [0; crate::Reason::COUNT],
        connect: [0; BUCKETS],
        round_trip: [0; BUCKETS],
        retired: 0,
        events_second: 0,
        events: 0,
        seen: 0,
    };

    /// Connections that were open when it was read.
    #[must_use]
    pub const fn open(&self) -> u64 {
        (self.opened + self.adopted).saturating_sub(self.closed)
    }

    /// Connections that walk `number` found open.
    #[must_use]
    pub const fn seen_by(&self, number: u32) -> u64 {
        if self.seen >> SEEN_BITS == number & SEEN_WALKS {
            (self.seen & !(SEEN_WALKS << SEEN_BITS)) as u64
        } else {
            0
        }
    }
}

/// The number of low bits of [`Flow::seen`] that count connections; those above are the low bits of a walk's number.
const SEEN_BITS: u32 = 24;

/// The mask of the bits of a walk's number that fit into [`Flow::seen`].
const SEEN_WALKS: u32 = 0xff;

/// [`Flow::seen`] after walk `number` has found one more connection.
#[inline(always)]
#[must_use]
pub const fn one_more_seen(seen: u32, number: u32) -> u32 {
    if seen >> SEEN_BITS == number & SEEN_WALKS {
        seen + 1
    } else {
        (number & SEEN_WALKS) << SEEN_BITS | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two_of_a_microsecond() {
        assert_eq!([0, 1, 2, 3, 4, 1023, 1024].map(bucket), [0, 0, 1, 1, 2, 9, 10]);
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
        assert_eq!(bucket(1 << 27), BUCKETS - 1);
        assert_eq!(bucket((1 << 27) - 1), BUCKETS - 2);
    }

    #[test]
    fn the_key_has_no_padding() {
        assert_eq!(size_of::<FlowKey>(), 32);
        assert_eq!(
            size_of::<Flow>(),
            12 * 8 + 8 * crate::Reason::COUNT + 2 * 4 * BUCKETS + 4 * 4
        );
        // With its key and the kernel's overhead (48 bytes of `struct htab_elem`, 8 of its allocator), an entry fills
        // one block of 512 bytes: one more u64 would double the table's memory.
        assert!(48 + 8 + size_of::<FlowKey>() + size_of::<Flow>() <= 512);
    }

    #[test]
    fn a_walk_counts_from_one() {
        let mut flow = Flow::ZERO;
        for _ in 0..3 {
            flow.seen = one_more_seen(flow.seen, 0x107);
        }
        assert_eq!((flow.seen_by(0x107), flow.seen_by(0x108)), (3, 0));
        flow.seen = one_more_seen(flow.seen, 0x108);
        assert_eq!((flow.seen_by(0x107), flow.seen_by(0x108)), (0, 1));
    }
}
