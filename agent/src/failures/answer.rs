//! What `/api/v1/failures` says beside the failures. Part of the interface.

use super::{failure::Failure, ring::Ring};
use serde::{Deserialize, Serialize};

/// A list of failures, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<F = Failure> {
    /// Which run of the agent the numbers are of: when it began, in milliseconds since 1970.
    pub run: i64,
    /// Those that fit.
    pub failures: Vec<F>,
    /// What is not to be had one by one.
    pub dropped: Dropped,
    /// The first number that was not looked at: where to read on, with `from`.
    pub next: u64,
}

/// The first event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// As in [`List`].
    pub run: i64,
    /// The first number that the stream will look at.
    pub next: u64,
}

/// The event `lost` of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Failures that made room for newer ones before this reader came to them, whether or not they would have fitted.
    pub missed: u64,
}

/// The event `dropped` of a stream: failures since the agent's start that are not to be had one by one. The counters have
/// them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Their flow had told of too many in that second; as in `narrows_lost_total`, of the last tick.
    pub failure_event_rate_limited: u64,
    /// The kernel's ring was full; as in `narrows_lost_total`, of the last tick.
    pub failure_event_ring_full: u64,
    /// They were there, and have made room for newer ones.
    pub overwritten: u64,
}

impl Dropped {
    /// As it is now.
    pub fn now(ring: &Ring) -> Self {
        let untold = ring.untold();
        Self {
            failure_event_rate_limited: untold.rate_limited,
            failure_event_ring_full: untold.ring_full,
            overwritten: ring.left(),
        }
    }

    /// Failures that were never told.
    pub fn untold(&self) -> u64 {
        self.failure_event_rate_limited + self.failure_event_ring_full
    }
}
