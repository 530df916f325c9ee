//! The edges of a flow picture: workloads to points to workloads.

use super::{answer::AsOf, trouble::Severity};
use crate::points::{Kind, Mesh};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A flow picture (`/api/v1/paths`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Paths {
    /// The moment that it describes.
    pub as_of: AsOf,
    /// What a node that is no point stands for.
    pub group: Group,
    /// What the edges of this page connect, and points without an edge.
    pub nodes: Vec<Node>,
    /// The edges with the most connections, open ones first. Each is about one point: what comes in at a point is not matched with what
    /// goes out there.
    pub edges: Vec<Edge>,
    /// The number of edges that match the request.
    pub total_edges: usize,
    /// How many of these are on other pages.
    pub omitted_edges: usize,
    /// The connections that are open on those, so that nothing is left out silently.
    pub omitted_open_connections: i64,
    /// Pass it as `after` for the next page; `null` on the last page. The order changes with each tick.
    pub next: Option<String>,
}

/// What a node that is no point stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A node is one workload.
    #[default]
    Workload,
    /// All workloads of a namespace.
    Namespace,
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Node {
    /// Its identifier: of a point as in `/api/v1/points`, of a workload as in `/api/v1/workloads`; unique in the answer.
    pub id: String,
    /// What it is.
    pub r#type: NodeType,
    /// The namespace; empty for a sum.
    pub namespace: String,
    /// The name of the workload; `<namespace>/<name>` of a point; the namespace of a group; `_other`, `_former` or `unknown` of a sum.
    pub name: String,
    /// The kind of a point.
    pub kind: Option<Kind>,
    /// The mesh of a point.
    pub mesh: Option<Mesh>,
    /// The instance of a point.
    pub instance: Option<String>,
    /// How bad the trouble of a point is, as in `/api/v1/points`.
    pub severity: Option<Severity>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeType {
    /// An instance of a point.
    Point,
    /// A workload that is tracked in detail.
    Workload,
    /// All workloads of a namespace.
    Namespace,
    /// Workloads of one point that are not in detail, or unknown.
    Rest,
}

/// How an edge is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Connections between exactly these two were counted at a socket of one of them.
    Counted,
}

/// Connections from one node to another: a dependent to a point, or a point to a workload that it serves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Edge {
    /// The node that opened the connections.
    pub from: String,
    /// The node that accepted them.
    pub to: String,
    /// How it is known.
    pub certainty: Certainty,
    /// Whether there was traffic in the window, or there are connections open.
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
}
