//! What all answers have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The moment that an answer describes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct AsOf {
    /// The number of the agent's tick, from 1.
    pub tick: u64,
    /// When that tick read its counters: RFC 3339, UTC, to the millisecond.
    pub time: String,
    /// The Kubernetes node; `null` without a cluster.
    pub node: Option<String>,
    /// How far apart ticks are meant to be.
    pub interval_seconds: f64,
    /// The time that rates (`_per_second`) and delays are about: from the tick before to this one. `null` at the first tick, when no
    /// rate is known.
    pub rate_span_seconds: Option<f64>,
    /// Why the last tick failed, so that the answer shows the state of an earlier one; `null` when it did not.
    pub tick_error: Option<String>,
}

/// Why a request has no other answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Problem {
    /// What is wrong, for programs: `unknown_parameter`, `invalid_parameter`, `unknown_point`, `no_history`, `unknown_path`,
    /// `method_not_allowed`, `misdirected`, `starting`, `unauthenticated`, `forbidden`, `unreviewed`, `too_many_followers`, `no_peers`,
    /// `busy`, `unknown_node`, `node_failed` or `internal`.
    pub error: String,
    /// What is wrong and what to do, for people.
    pub message: String,
}
