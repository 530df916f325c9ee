//! The model's own status.

use super::{End, Found, Model};
use crate::table::Table;
use std::collections::BTreeMap;

/// How full its tables are, and what it could not count.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The number of points with series, and its limit.
    pub points: Table,
    /// Counts that wait for an identity; rejected are connections that were counted without one.
    pub waiting: Table,
    /// Flows of the kernel's flow table.
    pub flows: usize,
    /// Flows that stand for owners whose flows were rejected from the flow table.
    pub overflow_flows: usize,
    /// Connections by what was found at each end.
    pub attributed: BTreeMap<(End, Found), u64>,
    /// Workloads with traffic in the window, at either end of a connection.
    pub workloads: usize,
    /// How often a dependent or served workload was rejected.
    pub rejected_endpoints: u64,
    /// Connections that ended without having been seen to begin.
    pub unseen: u64,
    /// Connections that were still open when their flow left the kernel's table, which had none open.
    pub mended: u64,
}

impl Status {
    /// The status of a model.
    pub fn of(model: &Model) -> Self {
        let (used, limit, flushed_early) = model.waiting();
        let overflow_flows = model.overflow_flows();
        Self {
            points: Table {
                used: model.points().count(),
                limit: model.points_limit(),
                rejected: model.rejected_points(),
            },
            waiting: Table {
                used,
                limit,
                rejected: flushed_early,
            },
            flows: model.flows().saturating_sub(overflow_flows),
            overflow_flows,
            attributed: model.attributed().clone(),
            workloads: model.workloads(),
            rejected_endpoints: model.rejected_endpoints().0,
            unseen: model.unseen(),
            mended: model.mended(),
        }
    }
}
