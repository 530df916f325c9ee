//! The result of one tick: immutable, shared by all exporters.

use super::rates::Rates;
use crate::{
    api::{ClusterStatus, InventoryStatus},
    clock::Millis,
    histogram::Histogram,
    kernel,
    metrics::{Details, Series, Terms},
    model::{
        self, Called, CalledPoint, Drain,
        rows::{BoundaryRows, PointRow},
    },
    program::Offer,
    signals::Signal,
    table::Table,
};
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};

/// The tick that produced the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Number of completed ticks, this one included.
    pub number: u64,
    /// When its counters were read, in milliseconds since 1970.
    pub time: Millis,
    /// How far apart ticks are meant to be, as the publisher knows it.
    pub interval: Duration,
    /// Durations of the ticks.
    pub seconds: Histogram,
    /// The error of the last tick, if it failed.
    pub error: Option<String>,
}

/// The sources of identities, and their state.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The state of the inventory file.
    pub inventory: InventoryStatus,
    /// The state of the cluster's lists; `None` without a cluster.
    pub cluster: Option<ClusterStatus>,
    /// Remembered cgroups, and their limit.
    pub cgroups: Table,
    /// A cgroup that seems to be a pod's, but has an unknown layout.
    pub unrecognized_cgroup: Option<String>,
}

/// Failed connections that the kernel reported one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    /// Number of reported failures so far.
    pub number: u64,
    /// The records that are kept, and their limit.
    pub kept: Table,
}

/// Everything the agent exports, by its origin.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The tick that produced the snapshot.
    pub tick: Tick,
    /// Points and their dependents.
    pub points: Vec<PointRow>,
    /// The callers' view, on this node, of each point.
    pub called: Vec<(CalledPoint, Called)>,
    /// Instances of points that are to go.
    pub drains: Vec<Drain>,
    /// Where policy is enforced, and which connections bypass a point.
    pub boundary: BoundaryRows,
    /// The model's tables, and what it could not count.
    pub model: model::Status,
    /// Programs, fields and losses of the kernel boundary.
    pub kernel: kernel::Status,
    /// The sources of identities, and their state.
    pub identity: Identity,
    /// Failures reported one by one.
    pub failures: Reported,
    /// The signals, active or not.
    pub signals: Vec<Signal>,
    /// The cumulative series of previous agents.
    pub before: Option<Arc<Series>>,
    /// What has changed since the snapshot before.
    pub rates: Rates,
    /// How much of all this is exported.
    pub details: Details,
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

    /// How full the overflow table is: the kernel's table for owners whose flows were rejected.
    pub const fn overflow_flows(&self) -> Table {
        Table {
            used: self.model.overflow_flows,
            limit: self.kernel.overflow_limit,
            rejected: 0,
        }
    }

    /// What of it is written as metrics.
    pub fn terms(&self) -> Terms {
        Terms {
            before: self.before.clone(),
            offer: self.offer(),
            details: self.details,
        }
    }

    /// What this kernel provides: a family that depends on anything else is omitted, rather than shown as 0.
    pub fn offer(&self) -> Offer {
        let programs = self.kernel.programs.iter().filter(|status| status.active);
        let fields = self.kernel.fields.iter().filter(|status| status.offset.is_some());
        Offer {
            programs: programs.map(|status| status.program).collect(),
            fields: fields.map(|status| status.place).collect(),
        }
    }
}

/// The latest snapshot; replaced at each tick, read without locks.
pub type Shared = Arc<ArcSwap<Snapshot>>;
