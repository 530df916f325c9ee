//! What one tick found: immutable, shared by everything that shows it.

use crate::{
    clock::Millis,
    config::Scope,
    histogram::Histogram,
    identity::kubernetes::{Directory, Kubernetes, Sizes, SourceStatus},
    kernel,
    metrics::Series,
    model::{
        self, Called, CalledPoint,
        rows::{BoundaryRows, PointRow},
    },
    program::Offer,
    signals::Signal,
    table::Table,
};
use arc_swap::ArcSwap;
use serde::Serialize;
use std::sync::Arc;

/// The state of the inventory file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InventoryStatus {
    /// The file; `None` when there is none.
    pub file: Option<String>,
    /// Workloads and points in the version that is in use.
    pub entries: usize,
    /// What is wrong with the file as it is now; the last good version stays in use.
    pub error: Option<String>,
    /// Cgroups and namespaces that the inventory names and that do not exist.
    pub missing: Vec<String>,
    /// When the version in use was read, in seconds since 1970.
    pub read_at: Option<u64>,
}

/// What the agent knows of its cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// The name of this node.
    pub node: String,
    /// Whose identities are known.
    pub scope: Scope,
    /// The lists it reads.
    pub sources: Vec<SourceRow>,
    /// How full the tables are.
    #[serde(flatten)]
    pub sizes: Sizes,
}

/// How one list fares.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRow {
    /// The value of the `source` label.
    #[serde(skip)]
    pub label: &'static str,
    /// Its state.
    #[serde(flatten)]
    pub status: SourceStatus,
    /// Objects in it.
    pub objects: usize,
    /// Seconds since the API server last said anything about it.
    pub age_seconds: f64,
}

impl ClusterStatus {
    /// Its state at `now`.
    pub fn of(cluster: &Kubernetes, directory: &Directory, now: Millis) -> Self {
        let row = |status: &SourceStatus| SourceRow {
            label: status.source.label(),
            objects: directory.count(status.source),
            age_seconds: (now - status.contact).max(0) as f64 / 1000.0,
            status: status.clone(),
        };
        Self {
            node: cluster.node.clone(),
            scope: cluster.scope,
            sources: directory.statuses().iter().map(row).collect(),
            sizes: directory.sizes(),
        }
    }
}

/// The tick that found it.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Ticks completed, this one included.
    pub number: u64,
    /// How long the ticks took.
    pub seconds: Histogram,
    /// What went wrong in the last one.
    pub error: Option<String>,
}

/// What is known of who is who.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The inventory.
    pub inventory: InventoryStatus,
    /// The cluster, when there is one.
    pub cluster: Option<ClusterStatus>,
    /// Cgroups that are remembered.
    pub cgroups: Table,
    /// A cgroup that seems to be a pod's, but is laid out in a way that is not known.
    pub unrecognized_cgroup: Option<String>,
}

/// Failed connections that the kernel reported one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    /// How many so far.
    pub number: u64,
    /// Those that are kept.
    pub kept: Table,
}

/// Everything the agent shows, by whom it comes from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The tick.
    pub tick: Tick,
    /// Points.
    pub points: Vec<PointRow>,
    /// Points as their callers see them.
    pub called: Vec<(CalledPoint, Called)>,
    /// Where policy is enforced, and what passes it by.
    pub boundary: BoundaryRows,
    /// The model's tables, and what it could not count.
    pub model: model::Status,
    /// Programs, fields and losses of the kernel boundary.
    pub kernel: kernel::Status,
    /// Who is who.
    pub identity: Identity,
    /// Failures one by one.
    pub failures: Reported,
    /// What depends on what this node offers.
    pub signals: Vec<Signal>,
    /// What the agents before this one had counted.
    pub before: Option<Arc<Series>>,
}

impl Snapshot {
    /// How full the kernel's flow table is.
    pub const fn flows(&self) -> Table {
        Table {
            used: self.model.flows,
            limit: self.kernel.flows_limit,
            rejected: 0,
        }
    }

    /// How full the kernel's table for owners whose flows found no place is.
    pub const fn overflow_flows(&self) -> Table {
        Table {
            used: self.model.overflow_flows,
            limit: self.kernel.overflow_limit,
            rejected: 0,
        }
    }

    /// What this kernel offers: what rests on anything else is not shown, rather than shown as 0.
    pub fn offer(&self) -> Offer {
        let programs = self.kernel.programs.iter().filter(|status| status.active);
        let fields = self.kernel.fields.iter().filter(|status| status.offset.is_some());
        Offer {
            programs: programs.map(|status| status.program).collect(),
            fields: fields.map(|status| status.place).collect(),
        }
    }
}

/// The newest snapshot; replaced at each tick, read without locks.
pub type Shared = Arc<ArcSwap<Snapshot>>;
