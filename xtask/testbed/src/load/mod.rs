//! Load with exact accounting: clients that know what became of each connection, and servers that agree.
//!
//! A request starts with two big-endian 32-bit numbers, its own length and that of the reply it asks for. The client
//! closes first and then waits for the server's end, so a connection that counts as `ok` is closed on both sides and
//! never ends in a reset.

mod client;
mod crowd;
mod forged;
mod handshakes;
mod latency;
mod rapid;
mod server;
mod steady;
mod stubborn;

use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use crate::lock;

pub use client::{Client, Plan};
pub use crowd::{Crowd, CrowdTally, reset};
pub use forged::forged_syns;
pub use handshakes::{Ending, HandshakeTally, Handshakes, Version};
pub use latency::Latencies;
pub use rapid::{RapidServer, rapid_connections};
pub use server::{Behaviour, Server};
pub use steady::{Pace, PaceTally, Steady};
pub use stubborn::{Manner, Stubborn};

/// The two lengths at the start of a request.
pub(crate) const HEADER: usize = 8;

/// What became of a client's connections: `attempts = ok + refused + reset + timed_out + cut_short + failed` once
/// none is under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientTally {
    /// Calls of connect.
    pub attempts: u64,
    /// Completed handshakes.
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
    /// Bytes of requests.
    pub sent_bytes: u64,
    /// Bytes of replies.
    pub received_bytes: u64,
}

/// What a server did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerTally {
    /// Accepted connections.
    pub accepted: u64,
    /// Complete replies after which the client closed.
    pub answered: u64,
    /// Connections that the server reset on purpose.
    pub reset: u64,
    /// Connections that ended any other way.
    pub broken: u64,
    /// Bytes of requests.
    pub received_bytes: u64,
    /// Bytes of replies.
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

/// A tally that several threads keep and others read.
#[derive(Debug, Default)]
pub(crate) struct Board<T>(Mutex<T>);

impl<T: Copy> Board<T> {
    /// Changes the tally.
    pub(crate) fn note(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.open());
    }

    /// The tally as it is now.
    pub(crate) fn read(&self) -> T {
        *self.open()
    }

    fn open(&self) -> MutexGuard<'_, T> {
        lock(&self.0)
    }
}
