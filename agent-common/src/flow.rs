/// Which part a socket plays; decides the `side` of its metrics.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It opened the connection: the upstream side of a proxy.
    Client = 0,
    /// It came out of an accept queue: the downstream side of a proxy.
    Server = 1,
    /// It listens.
    Listener = 2,
}

impl Role {
    /// How many roles there are.
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

/// What connections are counted by: one owner, one place, one role, one peer, one service port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Id of the cgroup that holds the socket (on cgroup2, the inode number of its directory).
    pub cgroup: u64,
    /// Address of the other end as IPv6; IPv4 is mapped (`::ffff:a.b.c.d`). All zero: unspecified, as in the
    /// overflow entry of an owner and for listeners.
    pub peer: [u32; 4],
    /// Inode number of the network namespace that the socket is in.
    pub netns: u32,
    /// Port of the service, in host byte order: the peer's for a client, the socket's own for a server or listener.
    pub port: u16,
    /// A [`Role`].
    pub role: u8,
    /// 0 or 1. A flow that is being taken out of the table is not written to any more; connections that end in the
    /// meantime go to the entry with the other generation.
    pub generation: u8,
}

/// Number of buckets of a [`Flow`]'s histograms.
pub const BUCKETS: usize = 28;

/// The histogram bucket of a duration in microseconds: bucket `i` holds `2^i ..= 2^(i+1) - 1`, bucket 0 also 0, and
/// the last one everything from 2^27 µs (134 s) on.
#[inline(always)]
#[must_use]
pub const fn bucket(microseconds: u32) -> usize {
    let log2 = 31 - (microseconds | 1).leading_zeros() as usize;
    if log2 < BUCKETS { log2 } else { BUCKETS - 1 }
}

/// The counters of one flow. They only grow, but for a failure that is renamed (see `failures`).
///
/// User space reads them as integers; the kernel programs, which write them from several processors at once, as cells of the
/// same size (`L` of 64 bits, `W` of 32). A reading copies the fields in the order in which they stand here, and may meet a
/// program in the middle: `closed` comes before `opened`, so that no reading shows an end without its beginning, and `carried`
/// after it, as it is counted before.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<L = u64, W = u32> {
    /// Established connections (or listeners) that ended. `opened + adopted - closed` are open.
    pub closed: L,
    /// Handshakes completed (for a listener: sockets that began to listen).
    pub opened: L,
    /// Connections found open when the agent started.
    pub adopted: L,
    /// Of `opened`, those whose other end is a socket of a point in the same network namespace: a server's that a point
    /// delivered, a client's that a point took in. Only while there are points on the node.
    pub carried: L,
    /// The cgroup of the point that carried the last one of them; 0 for none.
    pub carrier: L,
    /// Payload bytes received.
    pub received: L,
    /// Payload bytes sent, retransmissions left out.
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
    /// Failed connections by [`crate::Reason`]. A reset that turns out to be our own, a moment after it was counted
    /// as the peer's, moves from one reason to the other.
    pub failures: [L; crate::Reason::COUNT],
    /// Handshake durations of a client's connections, by [`bucket`].
    pub connect: [W; BUCKETS],
    /// Smoothed round-trip times of connections with traffic, one sample a tick, by [`bucket`].
    pub round_trip: [W; BUCKETS],
    /// 1 when the flow is about to be taken out: no program writes to it any more.
    pub retired: W,
    /// Second (of the boot clock) that `events` is about.
    pub events_second: W,
    /// Failure events sent in that second.
    pub events: W,
    /// Connections that the last walks over open files found: see [`one_more_seen`]. Kept only while ends are
    /// missing.
    pub seen: W,
}

impl Flow {
    /// Nothing counted.
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

    /// Connections open at the moment of the read.
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

/// Bits of [`Flow::seen`] that count connections; those above them hold the low bits of a walk's number.
const SEEN_BITS: u32 = 24;

/// The bits of a walk's number that [`Flow::seen`] has room for.
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
        // With its key and what the kernel puts before each (48 bytes of `struct htab_elem`, 8 of its allocator), an entry fills
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
