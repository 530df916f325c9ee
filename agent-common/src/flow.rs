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
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Handshakes completed (for a listener: sockets that began to listen).
    pub opened: u64,
    /// Connections found open when the agent started.
    pub adopted: u64,
    /// Of `opened`, those whose other end is a socket of a point in the same network namespace: a server's that a point
    /// delivered, a client's that a point took in. Only while there are points on the node.
    pub carried: u64,
    /// The cgroup of the point that carried the last one of them; 0 for none.
    pub carrier: u64,
    /// Established connections (or listeners) that ended. `opened + adopted - closed` are open.
    pub closed: u64,
    /// Payload bytes received.
    pub received: u64,
    /// Payload bytes sent, retransmissions left out.
    pub sent: u64,
    /// Segments retransmitted on established connections.
    pub retransmits: u64,
    /// Retransmitted SYNs (client) or SYN-ACKs (server).
    pub syn_retransmits: u64,
    /// Handshakes that a listener dropped.
    pub drops: u64,
    /// Sum of the handshake durations in `connect`, in microseconds.
    pub connect_us: u64,
    /// Sum of the round-trip times in `round_trip`, in microseconds.
    pub round_trip_us: u64,
    /// Failed connections by [`crate::Reason`]. A reset that turns out to be our own, a moment after it was counted
    /// as the peer's, moves from one reason to the other.
    pub failures: [u64; crate::REASONS],
    /// Handshake durations of a client's connections, by [`bucket`].
    pub connect: [u32; BUCKETS],
    /// Smoothed round-trip times of connections with traffic, one sample a tick, by [`bucket`].
    pub round_trip: [u32; BUCKETS],
    /// Collections in a row that found nothing new; reset by any update.
    pub idle: u32,
    /// 1 when something was counted since the last collection.
    pub dirty: u32,
    /// 1 when the flow is about to be taken out: no program writes to it any more.
    pub retired: u32,
    /// Second (of the boot clock) that `events` is about.
    pub events_second: u32,
    /// Failure events sent in that second.
    pub events: u32,
    /// Reserved.
    pub reserved: u32,
}

impl Flow {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        opened: 0,
        adopted: 0,
        carried: 0,
        carrier: 0,
        closed: 0,
        received: 0,
        sent: 0,
        retransmits: 0,
        syn_retransmits: 0,
        drops: 0,
        connect_us: 0,
        round_trip_us: 0,
        failures: [0; crate::REASONS],
        connect: [0; BUCKETS],
        round_trip: [0; BUCKETS],
        idle: 0,
        dirty: 0,
        retired: 0,
        events_second: 0,
        events: 0,
        reserved: 0,
    };

    /// Connections open at the moment of the read.
    #[must_use]
    pub const fn open(&self) -> u64 {
        (self.opened + self.adopted).saturating_sub(self.closed)
    }
}

/// A flow with its key, as the collector writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FlowEntry {
    /// Which.
    pub key: FlowKey,
    /// Its counters.
    pub flow: Flow,
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
        assert_eq!(size_of::<Flow>(), 12 * 8 + 8 * crate::REASONS + 2 * 4 * BUCKETS + 6 * 4);
    }
}
