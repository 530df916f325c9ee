use crate::FlowKey;

/// Why a connection failed. The numbers index [`crate::Flow::failures`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The handshake was answered with a reset.
    Refused = 0,
    /// No answer to the handshake.
    HandshakeTimedOut = 1,
    /// An established connection got no answer.
    EstablishedTimedOut = 2,
    /// The network said that the peer cannot be reached.
    Unreachable = 3,
    /// The caller gave up before the handshake ended.
    Cancelled = 4,
    /// The peer sent a reset.
    ResetByPeer = 5,
    /// This end sent a reset.
    ResetBySelf = 6,
    /// No local port was left for the connection.
    NoLocalPort = 7,
}

/// How many reasons there are.
pub const REASONS: usize = 8;

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; REASONS] = [
        Self::Refused,
        Self::HandshakeTimedOut,
        Self::EstablishedTimedOut,
        Self::Unreachable,
        Self::Cancelled,
        Self::ResetByPeer,
        Self::ResetBySelf,
        Self::NoLocalPort,
    ];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::HandshakeTimedOut | Self::EstablishedTimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::ResetByPeer => "reset_by_peer",
            Self::ResetBySelf => "reset_by_self",
            Self::NoLocalPort => "no_local_port",
        }
    }

    /// The value of the `phase` label: `handshake` or `established`. An unreachable peer is counted under the
    /// handshake also in the rare case that an established connection ends so.
    #[must_use]
    pub const fn phase(self) -> &'static str {
        match self {
            Self::EstablishedTimedOut | Self::ResetByPeer | Self::ResetBySelf => "established",
            _ => "handshake",
        }
    }
}

/// One failed connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent {
    /// When, in nanoseconds of the boot clock (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
    /// How long the connection had been known, in nanoseconds; 0 for one that began and ended between two ticks.
    pub duration_ns: u64,
    /// Whose it was, and with whom.
    pub key: FlowKey,
    /// The socket's own address, IPv4 mapped.
    pub local: [u32; 4],
    /// The socket's own port, host byte order.
    pub local_port: u16,
    /// The peer's port, host byte order.
    pub peer_port: u16,
    /// A [`Reason`].
    pub reason: u8,
    /// Reserved.
    pub reserved: [u8; 3],
}
