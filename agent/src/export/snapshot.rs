//! What one tick found: immutable, shared by everything that shows it.

use crate::{
    clock::Millis,
    config::Scope,
    histogram::Histogram,
    identity::{
        Workload,
        kubernetes::{Directory, Kubernetes, Sizes, SourceStatus},
    },
    kernel::{FieldStatus, ProgramCost, ProgramStatus},
    metrics::Series,
    model::{
        Boundary, ByKind, Bypass, Called, CalledPoint, Connections, End, Found, Mode, Pair, PointLoad, Row, Share,
        Window,
    },
    program::Offer,
    signals::Signal,
};
use agent_common::Loss;
use arc_swap::ArcSwap;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A point and who depends on it.
#[derive(Clone, Debug)]
pub struct PointRow {
    /// Its load.
    pub load: PointLoad,
    /// What is known of its reach in the window.
    pub window: Window,
    /// Who depends on it.
    pub dependents: PartyRows,
    /// Of those in detail, the share of each one's connections that pass the point; `None` where it is not known.
    pub shares: Vec<Option<f64>>,
    /// Who is reached through it.
    pub served: PartyRows,
}

/// The workloads at one side of a point.
#[derive(Clone, Debug, Default)]
pub struct PartyRows {
    /// Those in detail.
    pub rows: Vec<Row<Arc<Workload>, Share>>,
    /// The others, by what they are called.
    pub rest: Vec<(&'static str, Share)>,
    /// How many of them have traffic in the window.
    pub untracked: usize,
}

/// Where policy is enforced.
#[derive(Clone, Debug, Default)]
pub struct BoundaryRows {
    /// Connections that workloads of this node accepted.
    pub enforced: Vec<Row<Pair, ByKind>>,
    /// Those of pairs that are not in detail.
    pub enforced_rest: Vec<(&'static str, ByKind)>,
    /// Connections that passed by a point that was expected.
    pub bypassed: Vec<Row<Bypass, Connections>>,
    /// Those of pairs that are not in detail.
    pub bypassed_rest: Vec<(&'static str, Connections)>,
    /// How many pairs of each are in detail.
    pub pairs: Bound,
    /// How each workload of this node takes part in its mesh, by namespace and name.
    pub modes: BTreeMap<(String, String), Mode>,
}

impl BoundaryRows {
    /// As it is now.
    pub fn of(boundary: &Boundary, window: Duration, now: Instant) -> Self {
        let (used, limit) = boundary.enforced.size();
        Self {
            enforced: boundary.enforced.rows(window, now),
            enforced_rest: boundary.enforced.rest().map(|(name, by)| (name, *by)).into(),
            bypassed: boundary.bypassed.rows(window, now),
            bypassed_rest: boundary.bypassed.rest().map(|(name, n)| (name, *n)).into(),
            pairs: Bound { used, limit },
            modes: boundary.modes(),
        }
    }
}

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

/// A table and its bound.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Bound {
    /// Entries in use.
    pub used: usize,
    /// Entries it may have.
    pub limit: usize,
}

/// Everything the agent shows.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ticks completed, this one included.
    pub ticks: u64,
    /// Points.
    pub points: Vec<PointRow>,
    /// Points as their callers see them.
    pub called: Vec<(CalledPoint, Called)>,
    /// Connections by what was found at each end.
    pub attributed: BTreeMap<(End, Found), u64>,
    /// Where policy is enforced, and what passes it by.
    pub boundary: BoundaryRows,
    /// Workloads with traffic in the window.
    pub workloads: usize,
    /// Times that a dependent or served workload, or a pair, found no place.
    pub parties_turned_away: (u64, u64),
    /// What was lost in the kernel.
    pub loss: Vec<(Loss, u64)>,
    /// Points that are not counted, because there are too many.
    pub points_turned_away: u64,
    /// Runs of kernel programs that the kernel left out.
    pub skipped: u64,
    /// Changes of state of sockets that no program has handled.
    pub missed_changes: u64,
    /// Connections that were ended because only changes of state that were missed explain that they were open.
    pub mended: u64,
    /// Connections that ended and had never been seen to begin.
    pub unseen: u64,
    /// The kernel programs.
    pub programs: Vec<ProgramStatus>,
    /// Their cost.
    pub costs: Vec<ProgramCost>,
    /// What depends on what this node offers.
    pub signals: Vec<Signal>,
    /// Kernel fields.
    pub fields: Vec<FieldStatus>,
    /// The flow table.
    pub flows: Bound,
    /// The overflow table.
    pub overflow: Bound,
    /// Points.
    pub point_bound: Bound,
    /// How long the ticks took.
    pub tick_seconds: Histogram,
    /// What went wrong in the last tick.
    pub tick_error: Option<String>,
    /// The inventory.
    pub inventory: InventoryStatus,
    /// The cluster, when there is one.
    pub cluster: Option<ClusterStatus>,
    /// Counts that wait for an identity, and connections that could not wait.
    pub waiting: (Bound, u64),
    /// Cgroups that are remembered, and those that found no place.
    pub cgroups: (Bound, u64),
    /// Failed connections that the kernel told of one by one, and those of them that are kept.
    pub failure_events: (u64, Bound),
    /// What the agents before this one had counted.
    pub before: Option<Arc<Series>>,
    /// A cgroup that seems to be a pod's, but is laid out in a way that is not known.
    pub strange_cgroup: Option<String>,
}

impl Snapshot {
    /// What this kernel offers: what rests on anything else is not shown, rather than shown as 0.
    pub fn offer(&self) -> Offer {
        let programs = self.programs.iter().filter(|status| status.active);
        let fields = self.fields.iter().filter(|status| status.offset.is_some());
        Offer {
            programs: programs.map(|status| status.program).collect(),
            fields: fields.map(|status| status.place).collect(),
        }
    }
}

/// The newest snapshot; replaced at each tick, read without locks.
pub type Shared = Arc<ArcSwap<Snapshot>>;
