//! Points: a list, and everything about one.

use super::{
    answer::AsOf,
    carried::Carried,
    inside::{
        AcceptQueue, Ages, Drops, Exits, HalfClosed, InsideMissing, Resources, Signal, Sockets, Threads, UnnamedCallers,
    },
    load::{BySide, Delays, Failures, Load},
    name::{PointName, WorkloadName},
    saturation::{ChokeRisk, Saturation},
    trouble::Trouble,
    workload::Traffic,
};
use crate::{fleet::Nodes, model::DrainCause};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The points of a node (`/api/v1/points`), those with the most trouble first, then by choke risk and name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct PointList {
    /// The moment that it describes.
    pub as_of: AsOf,
    /// The number of points that the agent knows; with `nodes=all`, a point counts for each agent that knows it.
    pub total: usize,
    /// The number of these that match the request, in the same way.
    pub matched: usize,
    /// Pass it as `after` for the next page; `null` on the last page. The order changes with each tick.
    pub next: Option<String>,
    /// The points of this page, those with the most trouble first.
    pub points: Vec<Point>,
    /// Whose answers it is made of, with `nodes=all`; else `null`.
    #[serde(default)]
    pub nodes: Option<Nodes>,
}

/// An instance of a point, as in the list.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Point {
    /// Name, kind and mesh of the instance.
    #[serde(flatten)]
    pub name: PointName,
    /// The node whose agent says this, with `nodes=all`; else `null`.
    #[serde(default)]
    pub node: Option<String>,
    /// Whether it runs on this node. Otherwise it is known by its callers here, and what only its own sockets show is `null`.
    pub local: bool,
    /// Whether it serves several workloads, rather than one.
    pub shared: bool,
    /// How many of its processes run on this node.
    pub processes: usize,
    /// What is wrong with it.
    pub trouble: Trouble,
    /// How full its resources are.
    pub saturation: Saturation,
    /// How close it is to being a single point of failure under load.
    pub choke_risk: ChokeRisk,
    /// What it carries; `null` for a point that does not run on this node.
    pub load: Option<Load>,
    /// What fails there.
    pub failures: Failures,
    /// How long data waits in it; `null` for a point that does not run on this node.
    pub delays: Option<Delays>,
    /// The workloads that depend on it, in the window.
    pub dependents: Counts,
    /// The workloads that are reached through it, in the window.
    pub served: Counts,
    /// The drain under way; `null` when it is not to go.
    pub drain: Option<DrainState>,
    /// Its links to its control planes; empty where none was seen.
    pub control_plane: Vec<ControlPlaneLink>,
    /// What agents of other nodes, with callers of this instance, say of it, with `nodes=all`: the ten with the most trouble.
    #[serde(default)]
    pub views: Vec<View>,
    /// How many other agents know this instance by its callers, with `nodes=all`.
    #[serde(default)]
    pub views_total: usize,
}

/// What the agent of a node on which a point does not run says of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct View {
    /// The node of the agent.
    pub node: String,
    /// What is wrong with the point, as seen by its callers there.
    pub trouble: Trouble,
}

/// The number of distinct workloads on one side of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Counts {
    /// Workloads, by namespace, name and principal.
    pub workloads: usize,
    /// Service accounts of these.
    pub service_accounts: usize,
    /// Namespaces of these.
    pub namespaces: usize,
}

/// An instance that is to go; `/api/v1/drains` has whose connections hang on it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct DrainState {
    /// Why it is to go.
    pub cause: DrainCause,
    /// When the agent noticed it: RFC 3339, UTC.
    pub since: String,
    /// When its grace ends: RFC 3339, UTC; `null` where that is not known.
    pub deadline: Option<String>,
    /// The connections that hang on it.
    pub connections: u64,
    /// How many the end of its grace would cut if connections went on to end as they have until now: an estimate.
    pub cut_estimate: Option<f64>,
}

/// The connections of a point to one control plane.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct ControlPlaneLink {
    /// The namespace of the control plane.
    pub namespace: String,
    /// The name of the control plane.
    pub name: String,
    /// Open connections; 0 is no link.
    pub open_connections: u64,
    /// When it became what it is, connected or not: RFC 3339, UTC.
    pub changed: String,
    /// When bytes last came from the control plane: RFC 3339, UTC; `null` before the first.
    pub last_received: Option<String>,
    /// Connections whose handshake completed.
    pub opened_total: u64,
    /// Failed connections and attempts, for whatever reason.
    pub failures_total: u64,
}

/// Everything about a point (`/api/v1/points/{id}`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct PointDetail {
    /// The moment that it describes.
    pub as_of: AsOf,
    /// What the list has of it.
    pub point: Point,
    /// The workloads that depend on it, those with the most connections first.
    pub dependents: Vec<Endpoint>,
    /// The sums of dependents that are not listed.
    pub dependents_rest: Vec<Rest>,
    /// The workloads reached through it, those with the most connections first.
    pub served: Vec<Endpoint>,
    /// The sums of served workloads that are not listed.
    pub served_rest: Vec<Rest>,
    /// From which caller to which destination it carries traffic, those with the most first.
    pub paths: Vec<Carried>,
    /// Callers that are no workload.
    pub unnamed_callers: Vec<UnnamedCallers>,
    /// How unevenly its connections are spread over its dependents (Herfindahl index), from 0 (evenly over many) to 1 (one has all).
    pub concentration_ratio: Option<f64>,
    /// Its share of the connections that points of this node accepted.
    pub traffic_ratio: Option<f64>,
    /// Its accept queues, by port; `null` for a point that does not run on this node, or where open sockets are not walked.
    pub accept_queues: Option<Vec<AcceptQueue>>,
    /// How evenly its threads share the work; `null` for a point that does not run on this node.
    pub threads: Option<Threads>,
    /// Its open sockets; `null` for a point that does not run on this node.
    pub sockets: Option<BySide<Sockets>>,
    /// How old its open connections are.
    pub ages: Ages,
    /// Leaks: connections that one end has closed and the other one has not, those with the most first.
    pub half_closed: Vec<HalfClosed>,
    /// Packets that the kernel dropped on their way to or from its sockets; `null` for a point that does not run on this node, or where
    /// this kernel does not show it.
    pub drops: Option<Vec<Drops>>,
    /// Its processes that ended; `null` for a point that does not run on this node.
    pub exits: Option<Vec<Exits>>,
    /// Why some of this is not known.
    pub missing: InsideMissing,
    /// CPU time, memory and open files.
    pub resources: Resources,
    /// The signals about points on this node, active or not.
    pub signals: Vec<Signal>,
}

/// A workload on one side of a point.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Endpoint {
    /// The workload at the other end.
    pub workload: WorkloadName,
    /// Its traffic through the point.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// The sum of several workloads.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Rest {
    /// `_other` (beyond the limit of workloads in detail), `_former` (those that used to be in detail) or `unknown`.
    pub name: String,
    /// Its traffic through the point.
    #[serde(flatten)]
    pub traffic: Traffic,
}
