//! The agent's own metrics: what it lost, what it could not see, what it costs.

use super::{process, rows::local, snapshot::Snapshot};
use crate::{
    api::{InventoryStatus, SourceRow},
    metrics::{
        Encoder, Family,
        agent::{
            ADDRESSES, ATTRIBUTED, BUILD_INFO, CGROUPS, CLUSTER_NODES, DETAIL, FAILURE_EVENTS, FAILURE_RECORDS, FLOWS,
            INVENTORY_MISSING, INVENTORY_VALID, LIST_AGE, LIST_FAILURES, LIST_OBJECTS, LIST_SYNCED, LISTS, LOST,
            MENDED, OVERFLOW, PAIRS, PODS, POINTS, PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_RESIDENT,
            PROCESS_START, PROCESS_VIRTUAL, PROGRAM_ACTIVE, PROGRAM_RUNS, PROGRAM_SECONDS, SIGNAL_ACTIVE, TICK,
            UNREADABLE, WAITING, WORKLOADS,
        },
    },
    model::End,
    node,
};
use std::{collections::BTreeSet, fmt};

/// Encodes the families of [`crate::metrics::agent`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let build = vec![
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("kernel", node::kernel_release().into()),
    ];
    encoder.write(&BUILD_INFO, [(build, true)])?;
    let kinds: BTreeSet<_> = local(snapshot).map(|row| row.load.point.kind).collect();
    let details = kinds.into_iter().map(|kind| {
        let detail = snapshot.details.of_kind(kind);
        (
            vec![("kind", kind.label().into()), ("detail", detail.label().into())],
            true,
        )
    });
    encoder.write(&DETAIL, details)?;
    programs(snapshot, encoder)?;
    bounds(snapshot, encoder)?;
    let losses = losses(snapshot).map(|(what, n)| (vec![("what", what.into())], n));
    encoder.write(&LOST, losses)?;
    encoder.write(&MENDED, [(vec![], snapshot.kernel.mended + snapshot.model.mended)])?;
    encoder.write(&FAILURE_EVENTS, [(vec![], snapshot.failures.number)])?;
    let attributed = snapshot.model.attributed.iter().map(|((end, found), n)| {
        let labels = vec![("end", label_of_end(*end).into()), ("result", found.label().into())];
        (labels, *n)
    });
    encoder.write(&ATTRIBUTED, attributed)?;
    cluster(snapshot, encoder)?;
    inventory(&snapshot.identity.inventory, encoder)?;
    encoder.write(&TICK, [(vec![], &snapshot.tick.seconds)])?;
    own_process(encoder)
}

/// What this kernel and this node provide, and what the programs cost.
fn programs(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let (programs, costs) = (&snapshot.kernel.programs, &snapshot.kernel.costs);
    let labels = |program: &'static str| vec![("program", program.into())];
    let active = programs.iter().map(|status| (labels(status.program), status.active));
    encoder.write(&PROGRAM_ACTIVE, active)?;
    let signals = snapshot.signals.iter();
    encoder.write(
        &SIGNAL_ACTIVE,
        signals.map(|signal| (vec![("signal", signal.name.into())], signal.active)),
    )?;
    encoder.write(
        &PROGRAM_RUNS,
        costs.iter().map(|cost| (labels(cost.program), cost.runs)),
    )?;
    encoder.write(
        &PROGRAM_SECONDS,
        costs.iter().map(|cost| (labels(cost.program), cost.seconds)),
    )
}

/// What was lost, by the value of the `what` label: in the kernel, and in the agent itself.
fn losses(snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, u64)> {
    let kernel = snapshot.kernel.lost.iter().map(|(what, n)| (what.label(), *n));
    let own = [
        ("program_run", snapshot.kernel.skipped_runs),
        ("state_change", snapshot.kernel.missed_changes),
        ("unseen_connection", snapshot.model.unseen),
        ("point", snapshot.model.points.rejected),
        ("cgroup", snapshot.identity.cgroups.rejected),
        ("attribution_wait", snapshot.model.waiting.rejected),
        ("dependent", snapshot.model.rejected_endpoints),
        ("pair", snapshot.boundary.pairs.rejected),
    ];
    let cluster = snapshot.identity.cluster.iter().flat_map(|cluster| {
        [
            ("cluster_object", cluster.sizes.turned_away),
            ("late_address", cluster.sizes.late),
        ]
    });
    kernel.chain(own).chain(cluster)
}

const fn label_of_end(end: End) -> &'static str {
    match end {
        End::Local => "local",
        End::Remote => "remote",
    }
}

/// The state of the inventory file, if there is one.
fn inventory(status: &InventoryStatus, encoder: &mut Encoder<'_>) -> fmt::Result {
    let file = status.file.as_ref();
    encoder.write(&INVENTORY_VALID, file.map(|_| (vec![], status.error.is_none())))?;
    encoder.write(&INVENTORY_MISSING, file.map(|_| (vec![], status.missing.len())))
}

/// What the agent knows of its cluster, and how fresh it is.
fn cluster(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let sources = || snapshot.identity.cluster.iter().flat_map(|cluster| &cluster.sources);
    let labels = |row: &SourceRow| vec![("source", row.label.into())];
    encoder.write(&LIST_AGE, sources().map(|row| (labels(row), row.age_seconds)))?;
    encoder.write(&LIST_SYNCED, sources().map(|row| (labels(row), row.status.synced)))?;
    let covered = snapshot
        .identity
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.covered_nodes);
    encoder.write(&CLUSTER_NODES, covered.map(|nodes| (vec![], nodes)))?;
    encoder.write(&LIST_OBJECTS, sources().map(|row| (labels(row), row.objects)))?;
    encoder.write(&LISTS, sources().map(|row| (labels(row), row.status.lists)))?;
    encoder.write(&LIST_FAILURES, sources().map(|row| (labels(row), row.status.failures)))?;
    encoder.write(&UNREADABLE, sources().map(|row| (labels(row), row.status.unreadable)))?;
    encoder.write(
        &ADDRESSES,
        snapshot
            .identity
            .cluster
            .iter()
            .map(|cluster| (vec![], cluster.sizes.addresses)),
    )?;
    encoder.write(
        &WORKLOADS,
        snapshot
            .identity
            .cluster
            .iter()
            .map(|cluster| (vec![], cluster.sizes.workloads)),
    )
}

/// How full the agent's tables are.
fn bounds(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    for (table, bound) in [
        (&FLOWS, snapshot.flows()),
        (&OVERFLOW, snapshot.overflow_flows()),
        (&POINTS, snapshot.model.points),
        (&PAIRS, snapshot.boundary.pairs),
        (&WAITING, snapshot.model.waiting),
        (&CGROUPS, snapshot.identity.cgroups),
        (&FAILURE_RECORDS, snapshot.failures.kept),
    ] {
        encoder.write(&table.used, [(vec![], bound.used)])?;
        encoder.write(&table.limit, [(vec![], bound.limit)])?;
    }
    let Some(cluster) = &snapshot.identity.cluster else {
        return Ok(());
    };
    encoder.write(&PODS.used, [(vec![], cluster.sizes.pods)])?;
    encoder.write(&PODS.limit, [(vec![], cluster.sizes.pods_limit)])
}

fn own_process(encoder: &mut Encoder<'_>) -> fmt::Result {
    let Some(own) = process::read() else { return Ok(()) };
    let values: [(&Family, f64); 6] = [
        (&PROCESS_CPU, own.cpu_seconds),
        (&PROCESS_RESIDENT, own.resident_bytes as f64),
        (&PROCESS_VIRTUAL, own.virtual_bytes as f64),
        (&PROCESS_FDS, own.open_files as f64),
        (&PROCESS_MAX_FDS, own.open_files_limit as f64),
        (&PROCESS_START, own.start_seconds),
    ];
    for (family, value) in values {
        encoder.write(family, [(vec![], value)])?;
    }
    Ok(())
}
