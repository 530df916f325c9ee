//! What a point carries, what fails there, and how long data waits in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One value for each side of a point.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct BySide<T> {
    /// The connections that it accepted.
    pub downstream: T,
    /// The connections that it opened.
    pub upstream: T,
}

/// What the point's own sockets carry.
pub type Load = BySide<SideLoad>;

/// One side of a point, by its own sockets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct SideLoad {
    /// Connections that are open now.
    pub open_connections: i64,
    /// Connections whose handshake completed.
    pub opened_total: u64,
    /// The same, per second over the last tick; `null` at the point's first tick.
    pub opened_per_second: Option<f64>,
    /// Established connections that ended.
    pub closed_total: u64,
    /// Payload bytes that the point received.
    pub received_bytes_total: u64,
    /// The same, per second over the last tick.
    pub received_bytes_per_second: Option<f64>,
    /// Payload bytes that the point sent, without retransmissions.
    pub sent_bytes_total: u64,
    /// The same, per second over the last tick.
    pub sent_bytes_per_second: Option<f64>,
    /// Segments that the point retransmitted.
    pub retransmitted_segments_total: u64,
}

/// Failed connections of a point, at both vantages. A failure may be seen at both, so do not add them up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Failures {
    /// What the point's own sockets show; `null` for a point that does not run on this node.
    pub point: Option<Vantage>,
    /// What the sockets of its callers on this node show, for all instances of the point together; `null` when nobody on this node
    /// has called it at an address of its own.
    pub callers: Option<Vantage>,
}

/// Failures seen at one vantage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Vantage {
    /// All of them.
    pub failures_total: u64,
    /// The same, per second over the last tick; `null` where no rate is known yet.
    pub failures_per_second: Option<f64>,
    /// Connections whose handshake completed, seen at the same vantage: per second over the last tick.
    pub opened_per_second: Option<f64>,
    /// By reason: those that have occurred.
    pub by_reason: Vec<ReasonCount>,
}

/// Failures for one reason.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct ReasonCount {
    /// `downstream` or `upstream`: the side of the point whose sockets show it; `null` at the vantage of the callers.
    pub side: Option<String>,
    /// The `reason` label, such as `refused` or `reset_by_peer`.
    pub reason: String,
    /// The `phase` label: `handshake` or `established`.
    pub phase: String,
    /// Connections and attempts that failed so.
    pub failures_total: u64,
    /// The same, per second over the last tick; `null` where no rate is known yet.
    pub failures_per_second: Option<f64>,
}

/// How long data waits in a point, over the last tick. A request passes `read.downstream` (it arrived, and waits until it is read) and
/// `forward.upstream` (it was read, and waits until it is written to another socket); its response `read.upstream` and
/// `forward.downstream`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Delays {
    /// From data arriving at a socket of the point until the point reads it.
    pub read: BySide<Delay>,
    /// From a read to the next write of the same thread to another socket, by the side of the write. Approximate where work moves
    /// between threads.
    pub forward: BySide<Delay>,
    /// Which signal is missing, and why, where `read` is not known.
    pub read_missing: Option<String>,
    /// Which signal is missing, and why, where `forward` is not known.
    pub forward_missing: Option<String>,
}

/// Quantiles of durations over the last tick. Approximate: interpolated within buckets that are powers of two of a microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Delay {
    /// The number of durations; 0 means that nothing waited to be measured.
    pub samples: u64,
    /// The median; `null` without samples.
    pub p50_seconds: Option<f64>,
    /// The 99th percentile; `null` without samples.
    pub p99_seconds: Option<f64>,
}
