//! How much the model keeps, and for how long.

use std::time::Duration;

/// Bounds of the model's tables, and its windows of time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Dependents of a point in detail.
    pub dependents: usize,
    /// Points that are counted at all.
    pub points: usize,
    /// Pairs of callers and called in detail.
    pub pairs: usize,
    /// How long traffic makes a dependent.
    pub window: Duration,
    /// How long a count waits for the identities of both ends.
    pub wait: Duration,
    /// How long an update about an address may be late.
    pub settle: Duration,
    /// Counts that may wait at a time.
    pub waiting: usize,
    /// Pods of other nodes are never known, so nothing waits for them.
    pub this_node_only: bool,
}
