use crate::declare::labels;

labels! {
    /// Why a connection failed: the `reason` label (both time-outs have the same one and differ in [`Reason::phase`]), and the
    /// index into [`crate::Flow::failures`].
    Reason: u8 {
        /// The handshake was answered with a reset.
        Refused = "refused",
        /// The SYNs were not answered.
        HandshakeTimedOut = "timed_out",
        /// Data or keep-alives of an established connection were not acknowledged.
        EstablishedTimedOut = "timed_out",
        /// The network reported that the peer cannot be reached.
        Unreachable = "unreachable",
        /// The caller gave up before the handshake ended.
        Cancelled = "cancelled",
        /// The peer sent a reset.
        ResetByPeer = "reset_by_peer",
        /// This end sent a reset.
        ResetBySelf = "reset_by_self",
        /// No local port was left for the connection.
        NoLocalPort = "no_local_port",
        /// The handshake completed, and the connection ended before the listener's process accepted it: because the process does
        /// not accept, or has exited, or because the caller reset it before, however soon that was, as a TCP health check does. The
        /// caller distinguishes the cases: the peer's address, and on its node the caller's own end (`ResetBySelf`, else
        /// `ResetByPeer`).
        NeverAccepted = "never_accepted",
        /// It ended within [`EARLY_NS`] without having carried one request: typical of a failed mTLS handshake or of a proxy that
        /// rejects the connection. A heuristic.
        ClosedEarly = "closed_early",
    }
}

/// A connection may count as closed early if it ends within this time of its beginning, in nanoseconds.
pub const EARLY_NS: u64 = 5_000_000_000;

impl Reason {
    /// The value of the `phase` label: `handshake` or `established`. `Unreachable` always has the phase `handshake`, also in the
    /// rare case of an established connection.
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
