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
    /// The handshake completed, and the connection ended before the listener's process accepted it: because the process does not accept,
    /// or has gone with its queue, or because the caller reset it before, however soon that was, as a TCP health check does. Who
    /// called tells the two apart: the peer, and on its node the caller's own end (`ResetBySelf`, else `ResetByPeer`).
    NeverAccepted = 8,
    /// It ended within [`EARLY_NS`] without having carried one request: what a failed mTLS handshake or a refusal of the
    /// proxy looks like from outside. A heuristic.
    ClosedEarly = 9,
}

/// A connection that ends within so long of its beginning may have ended early, in nanoseconds.
pub const EARLY_NS: u64 = 5_000_000_000;

/// How many reasons there are.
pub const REASONS: usize = 10;

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
        Self::NeverAccepted,
        Self::ClosedEarly,
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
            Self::NeverAccepted => "never_accepted",
            Self::ClosedEarly => "closed_early",
        }
    }

    /// The value of the `phase` label: `handshake` or `established`. An unreachable peer is counted under the
    /// handshake also in the rare case that an established connection ends so.
    #[must_use]
    pub const fn phase(self) -> &'static str {
        match self {
            Self::EstablishedTimedOut
            | Self::ResetByPeer
            | Self::ResetBySelf
            | Self::NeverAccepted
            | Self::ClosedEarly => "established",
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
    /// A [`Reason`].
    pub reason: u8,
    /// 1 when this is a second look at a failure that was told a moment ago, as another reason.
    pub corrects: u8,
    /// Reserved.
    pub reserved: [u8; 6],
}
