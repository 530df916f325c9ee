//! Workloads, and the points that they hang on.

use super::{
    answer::AsOf,
    name::{PointName, WorkloadName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The workloads that hang on a point (`/api/v1/workloads`), by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct WorkloadList {
    /// The moment that it describes.
    pub as_of: AsOf,
    /// The number of workloads that are tracked in detail at any point.
    pub total: usize,
    /// The number of these that match the request.
    pub matched: usize,
    /// Pass it as `after` for the next page; `null` on the last page.
    pub next: Option<String>,
    /// The workloads of this page, by namespace and name.
    pub workloads: Vec<WorkloadUse>,
}

/// A workload, and the points that it depends on or is served by.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct WorkloadUse {
    /// Name and identity of the workload.
    #[serde(flatten)]
    pub workload: WorkloadName,
    /// The points that its outgoing traffic passes.
    pub depends_on: Vec<Use>,
    /// The points that it is reached through.
    pub served_by: Vec<Use>,
}

/// What a workload and a point have to do with each other.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Use {
    /// The instance of the point.
    pub point: PointName,
    /// The workload's traffic through the point.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// The traffic of one workload through one point, by the point's own sockets, and where it does not run on this node, by its callers'.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Traffic {
    /// Whether there was traffic in the window, or there are connections open; for a sum of workloads, traffic in the last tick.
    pub active: bool,
    /// Connections that are open now.
    pub open_connections: i64,
    /// Connections whose handshake completed.
    pub opened_total: u64,
    /// The same, per second over the last tick; `null` where no rate is known yet.
    pub opened_per_second: Option<f64>,
    /// Payload bytes in both directions.
    pub bytes_total: u64,
    /// Failed connections, for whatever reason.
    pub failures_total: u64,
    /// The share of the workload's own connections that pass the point, for a dependent; `null` where it is not known.
    pub share_ratio: Option<f64>,
    /// The share of the connections on this side of the point that are the workload's, since each was first seen.
    pub part_ratio: Option<f64>,
}
