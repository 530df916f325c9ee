//! The JSON of `/api/v1/failures` apart from the failures themselves. Part of the interface.

use super::{failure::Failure, ring::Ring};
use crate::fleet::Nodes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of failures, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailureList")]
pub struct List<F = Failure> {
    /// Identifies the run of the agent that the numbers belong to: its start, in milliseconds since 1970.
    pub run: i64,
    /// The failures that match the request.
    pub failures: Vec<F>,
    /// Failures that are not available one by one.
    pub dropped: Dropped,
    /// The first number that was not examined: pass it as `from` to continue.
    pub next: u64,
    /// Whose answers it is made of, with `nodes=all`; else absent. `run` and `next` are then those of the agent that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
}

/// The first event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The run of the agent, as in [`List`].
    pub run: i64,
    /// The first number that the stream will examine.
    pub next: u64,
}

/// The event `lost` of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Failures that were evicted before this reader received them, whether or not they match the request.
    pub missed: u64,
}

/// The event `dropped` of a stream: failures since the agent's start that are not available one by one. The counters include
/// all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailuresDropped")]
pub struct Dropped {
    /// Not reported as their flow exceeded its limit in that second; as in `narrows_lost_total`, as of the last tick.
    pub failure_event_rate_limited: u64,
    /// Not reported as the kernel's ring buffer was full; as in `narrows_lost_total`, as of the last tick.
    pub failure_event_ring_full: u64,
    /// Reported, but evicted by newer ones.
    pub overwritten: u64,
}

impl Dropped {
    /// The sum of two agents'.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            failure_event_rate_limited: self
                .failure_event_rate_limited
                .saturating_add(other.failure_event_rate_limited),
            failure_event_ring_full: self
                .failure_event_ring_full
                .saturating_add(other.failure_event_ring_full),
            overwritten: self.overwritten.saturating_add(other.overwritten),
        }
    }

    /// The current values of a ring.
    pub fn now(ring: &Ring) -> Self {
        let untold = ring.untold();
        Self {
            failure_event_rate_limited: untold.rate_limited,
            failure_event_ring_full: untold.ring_full,
            overwritten: ring.left(),
        }
    }

    /// Failures that were never reported one by one.
    pub fn untold(&self) -> u64 {
        self.failure_event_rate_limited + self.failure_event_ring_full
    }
}
