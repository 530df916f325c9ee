//! The tallies of clients and servers.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The results of a client's connections: `attempts = ok + refused + reset + timed_out + cut_short + failed` once
/// none is in progress.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientTally {
    /// Calls of `connect` by the client.
    pub attempts: u64,
    /// Completed TCP handshakes of the client.
    pub connected: u64,
    /// Complete replies on connections that both sides closed in order.
    pub ok: u64,
    /// Handshakes that were refused.
    pub refused: u64,
    /// Established connections that were reset.
    pub reset: u64,
    /// Handshakes and replies that took longer than the plan allows; the client gave up on them.
    pub timed_out: u64,
    /// Connections that the other side closed before the reply was complete.
    pub cut_short: u64,
    /// Everything else, e.g. no route.
    pub failed: u64,
    /// Payload bytes of all requests.
    pub sent_bytes: u64,
    /// Payload bytes of all replies.
    pub received_bytes: u64,
}

/// The results of a server's connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerTally {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Complete replies after which the client closed.
    pub answered: u64,
    /// Connections that the server reset on purpose.
    pub reset: u64,
    /// Connections that ended any other way.
    pub broken: u64,
    /// Payload bytes of all requests.
    pub received_bytes: u64,
    /// Payload bytes of all replies.
    pub sent_bytes: u64,
}

impl AddAssign for ClientTally {
    fn add_assign(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.connected += other.connected;
        self.ok += other.ok;
        self.refused += other.refused;
        self.reset += other.reset;
        self.timed_out += other.timed_out;
        self.cut_short += other.cut_short;
        self.failed += other.failed;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

impl AddAssign for ServerTally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.answered += other.answered;
        self.reset += other.reset;
        self.broken += other.broken;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }
}
