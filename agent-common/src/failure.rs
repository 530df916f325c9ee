use crate::{Caller, FlowKey};

/// An event about one failed connection or attempt.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent {
    /// When it failed, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// For how long the connection was known, in nanoseconds; 0 for one that began and ended between two ticks.
    pub duration_ns: u64,
    /// Payload bytes that it had sent, without retransmissions.
    pub sent: u64,
    /// Payload bytes that it had received.
    pub received: u64,
    /// Its flow: owner, network namespace, role, peer address and service port.
    pub key: FlowKey,
    /// The caller whose traffic the connection carried, when a point had opened it.
    pub caller: Caller,
    /// The socket's own address as IPv6; IPv4 is mapped.
    pub local: [u32; 4],
    /// The socket's own port, host byte order.
    pub local_port: u16,
    /// The peer's port, host byte order.
    pub peer_port: u16,
    /// Segments that it retransmitted, including SYNs.
    pub retransmits: u32,
    /// The number of a [`crate::Reason`].
    pub reason: u8,
    /// 1 when this corrects the reason of an event that was sent a moment ago.
    pub corrects: u8,
    /// How the caller is known: the number of a [`crate::Certainty`].
    pub certainty: u8,
    /// Zero, so that the structure has no implicit padding.
    pub reserved: [u8; 5],
}
