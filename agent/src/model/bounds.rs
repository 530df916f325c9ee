//! The limits of the model's tables, and its time windows.

use std::time::Duration;

/// Limits of the model's tables, and its time windows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Dependents tracked in detail per point.
    pub dependents: usize,
    /// Points that are counted at all.
    pub points: usize,
    /// Pairs of caller and called tracked in detail.
    pub pairs: usize,
    /// How long a workload with traffic counts as a dependent.
    pub window: Duration,
    /// How long a count waits for the identities of both ends.
    pub wait: Duration,
    /// How late an update about an address may arrive.
    pub settle: Duration,
    /// Upper bound for waiting counts.
    pub waiting: usize,
    /// Pods of other nodes are never known, so counts do not wait for them.
    pub this_node_only: bool,
}
