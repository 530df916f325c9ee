use crate::declare::labels;

labels! {
    /// Why a connection failed: the `reason` label (two time-outs share one, told apart by [`Reason::phase`]), and the index into
    /// [`crate::Flow::failures`].
    Reason: u8 {
        /// The handshake was answered with a reset.
        Refused = "refused",
        /// No answer to the handshake.
        HandshakeTimedOut = "timed_out",
        /// An established connection got no answer.
        EstablishedTimedOut = "timed_out",
        /// The network said that the peer cannot be reached.
        Unreachable = "unreachable",
        /// The caller gave up before the handshake ended.
        Cancelled = "cancelled",
        /// The peer sent a reset.
        ResetByPeer = "reset_by_peer",
        /// This end sent a reset.
        ResetBySelf = "reset_by_self",
        /// No local port was left for the connection.
        NoLocalPort = "no_local_port",
        /// The handshake completed, and the connection ended before the listener's process accepted it: because the process does not accept,
        /// or has gone with its queue, or because the caller reset it before, however soon that was, as a TCP health check does. Who
        /// called tells the two apart: the peer, and on its node the caller's own end (`ResetBySelf`, else `ResetByPeer`).
        NeverAccepted = "never_accepted",
        /// It ended within [`EARLY_NS`] without having carried one request: what a failed mTLS handshake or a refusal of the
        /// proxy looks like from outside. A heuristic.
        ClosedEarly = "closed_early",
    }
}

/// A connection that ends within so long of its beginning may have ended early, in nanoseconds.
pub const EARLY_NS: u64 = 5_000_000_000;

impl Reason {
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
