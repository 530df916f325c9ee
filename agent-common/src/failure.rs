use crate::FlowKey;

/// One failed connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent {
    /// When, in nanoseconds of the boot clock (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
    /// How long the connection had been known, in nanoseconds; 0 for one that began and ended between two ticks.
    pub duration_ns: u64,
    /// Payload bytes that it had sent, retransmissions left out.
    pub sent: u64,
    /// Payload bytes that it had received.
    pub received: u64,
    /// Whose it was, and with whom.
    pub key: FlowKey,
    /// The socket's own address, IPv4 mapped.
    pub local: [u32; 4],
    /// The socket's own port, host byte order.
    pub local_port: u16,
    /// The peer's port, host byte order.
    pub peer_port: u16,
    /// Segments that it had to send again, SYNs among them.
    pub retransmits: u32,
    /// A [`crate::Reason`].
    pub reason: u8,
    /// 1 when this is a second look at a failure that was told a moment ago, as another reason.
    pub corrects: u8,
    /// Reserved.
    pub reserved: [u8; 6],
}
