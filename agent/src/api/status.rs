//! The answer of `/api/v1/status`.

use super::{AsOf, ClusterStatus, InventoryStatus};
use crate::{
    kernel::{FieldStatus, ProgramStatus},
    signals::Signal,
    table::Table,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The state of the agent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Status {
    /// The tick that it describes.
    pub as_of: AsOf,
    /// The version of the agent.
    pub version: &'static str,
    /// The release of the kernel.
    pub kernel: String,
    /// Number of completed ticks.
    pub ticks: u64,
    /// Why the last tick failed; `null` when it did not.
    pub tick_error: Option<String>,
    /// The kernel programs.
    pub programs: Vec<ProgramStatus>,
    /// The signals about points.
    pub signals: Vec<Signal>,
    /// In which detail metrics are exported: `general`, and each kind of point that differs.
    pub metrics_detail: BTreeMap<&'static str, &'static str>,
    /// The kernel fields that were looked up.
    pub kernel_fields: Vec<FieldStatus>,
    /// What was lost, as in `narrows_lost_total`.
    pub lost: Vec<Lost>,
    /// Runs of kernel programs that the kernel skipped.
    pub skipped_program_runs_total: u64,
    /// Changes of a socket's state that no program has handled.
    pub missed_state_changes_total: u64,
    /// Connections whose end was missed and has been inferred.
    pub mended_connections_total: u64,
    /// How full the tables are.
    pub bounds: Bounds,
    /// Instances of points that are to go.
    pub drains: usize,
    /// The lists of the cluster; `null` without one.
    pub kubernetes: Option<ClusterStatus>,
    /// A cgroup that seems to be a pod's, but has an unknown layout.
    pub unknown_cgroup_layout: Option<String>,
    /// Where agents of other nodes are asked, as configured in `api.peers.addresses`; empty when `nodes=all` cannot be asked for.
    pub peers: Vec<String>,
    /// The inventory file.
    pub inventory: InventoryStatus,
}

/// Something that was lost.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Lost {
    /// What it was.
    pub what: &'static str,
    /// How often it was lost.
    pub count: u64,
}

/// How full the tables are.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Bounds {
    /// The kernel's flow table.
    pub flows: Table,
    /// Flows of owners that had no place there.
    pub overflow: Table,
    /// Points with series.
    pub points: Table,
    /// Counts that wait for an identity.
    pub waiting_counts: Table,
    /// Cgroups that are remembered.
    pub cgroups: Table,
    /// Failures that are kept one by one.
    pub failure_events: Table,
}
