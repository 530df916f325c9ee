//! The state of the sources of identities: the inventory, and the cluster's lists.

use crate::{
    clock::Millis,
    config::Scope,
    identity::kubernetes::{Directory, Kubernetes, Sizes, Source, SourceStatus},
};
use schemars::JsonSchema;
use serde::Serialize;

/// The state of the inventory file.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct InventoryStatus {
    /// The path of the file; `None` when there is none.
    pub file: Option<String>,
    /// Workloads and points in the version in use.
    pub entries: usize,
    /// What is wrong with the current file; the last valid version stays in use.
    pub error: Option<String>,
    /// Cgroups and namespaces that the inventory names but that do not exist.
    pub missing: Vec<String>,
    /// When the version in use was read, in seconds since 1970.
    pub read_at: Option<u64>,
}

/// What the agent knows of its cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClusterStatus {
    /// The name of this node.
    pub node: String,
    /// Whether the identities of the whole cluster are known, or those of this node only.
    pub scope: Scope,
    /// The state of each list that the agent reads.
    pub sources: Vec<SourceRow>,
    /// How full the tables are.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Number of nodes that are to have an agent; `None` until they are listed.
    pub covered_nodes: Option<usize>,
}

/// The state of one list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceRow {
    /// The value of the `source` label.
    #[serde(skip)]
    pub label: &'static str,
    /// The list's errors, counters and times.
    #[serde(flatten)]
    pub status: SourceStatus,
    /// Number of objects in the list.
    pub objects: usize,
    /// Seconds since the API server last sent anything about it.
    pub age_seconds: f64,
}

impl ClusterStatus {
    /// The state at `now`.
    pub fn of(cluster: &Kubernetes, directory: &Directory, now: Millis) -> Self {
        let row = |status: &SourceStatus| SourceRow {
            label: status.source.label(),
            objects: directory.count(status.source),
            age_seconds: (now - status.contact).max(0) as f64 / 1000.0,
            status: status.clone(),
        };
        let nodes = directory
            .statuses()
            .iter()
            .find(|status| status.source == Source::Nodes);
        let listed = nodes.is_some_and(|status| status.synced);
        Self {
            node: cluster.node.clone(),
            scope: cluster.scope,
            sources: directory.statuses().iter().map(row).collect(),
            sizes: directory.sizes(),
            covered_nodes: listed.then(|| directory.covered_nodes()),
        }
    }
}
