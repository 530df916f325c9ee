//! The state of the agent.

use super::{super::snapshot::Snapshot, as_of::as_of};
use crate::{
    api::{Bounds, Lost, Status},
    metrics::Details,
    node,
    points::Kind,
};
use std::collections::BTreeMap;

/// The state of the agent as of this snapshot; `peers` is where it asks others.
pub fn of(snapshot: &Snapshot, peers: Vec<String>) -> Status {
    let kernel = &snapshot.kernel;
    let lost = kernel.lost.iter().map(|(what, n)| Lost {
        what: what.label(),
        count: *n,
    });
    Status {
        as_of: as_of(snapshot),
        version: env!("CARGO_PKG_VERSION"),
        kernel: node::kernel_release(),
        ticks: snapshot.tick.number,
        tick_error: snapshot.tick.error.clone(),
        programs: kernel.programs.clone(),
        signals: snapshot.signals.clone(),
        metrics_detail: details(&snapshot.details),
        kernel_fields: kernel.fields.clone(),
        lost: lost.collect(),
        skipped_program_runs_total: kernel.skipped_runs,
        missed_state_changes_total: kernel.missed_changes,
        mended_connections_total: kernel.mended + snapshot.model.mended,
        bounds: Bounds {
            flows: snapshot.flows(),
            overflow: snapshot.overflow_flows(),
            points: snapshot.model.points,
            waiting_counts: snapshot.model.waiting,
            cgroups: snapshot.identity.cgroups,
            failure_events: snapshot.failures.kept,
        },
        drains: snapshot.drains.len(),
        kubernetes: snapshot.identity.cluster.clone(),
        unknown_cgroup_layout: snapshot.identity.unrecognized_cgroup.clone(),
        peers,
        inventory: snapshot.identity.inventory.clone(),
    }
}

/// The detail in which metrics are exported: in general, and for each kind of point that differs.
fn details(details: &Details) -> BTreeMap<&'static str, &'static str> {
    let general = details.general();
    let kinds = Kind::ALL.into_iter().map(|kind| (kind.label(), details.of_kind(kind)));
    let different = kinds.filter(|(_, detail)| *detail != general);
    let all = std::iter::once(("general", general)).chain(different);
    all.map(|(kind, detail)| (kind, detail.label())).collect()
}
