//! The agent's own metrics: what it lost, what it could not see, what it costs.

use super::{
    process,
    snapshot::{Snapshot, SourceRow},
};
use crate::{
    metrics::{
        Encoder, Family,
        agent::{
            ADDRESSES, ATTRIBUTED, BUILD_INFO, CGROUPS, FAILURE_EVENTS, FAILURE_RECORDS, FLOWS, INVENTORY_MISSING,
            INVENTORY_VALID, LIST_AGE, LIST_FAILURES, LIST_OBJECTS, LIST_SYNCED, LISTS, LOST, MENDED, OVERFLOW, PAIRS,
            PODS, POINTS, PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_RESIDENT, PROCESS_START, PROCESS_VIRTUAL,
            PROGRAM_ACTIVE, PROGRAM_RUNS, PROGRAM_SECONDS, SIGNAL_ACTIVE, TICK, UNREADABLE, WAITING, WORKLOADS,
        },
    },
    model::{End, Found},
    node,
};
use std::fmt;

/// Encodes them.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    encoder.write(
        &BUILD_INFO,
        std::iter::once((
            vec![
                ("version", env!("CARGO_PKG_VERSION").into()),
                ("kernel", node::kernel_release().into()),
            ],
            1.0,
        )),
    )?;
    encoder.write(
        &PROGRAM_ACTIVE,
        snapshot
            .programs
            .iter()
            .map(|p| (vec![("program", p.program.into())], p.active)),
    )?;
    encoder.write(
        &SIGNAL_ACTIVE,
        snapshot
            .signals
            .iter()
            .map(|signal| (vec![("signal", signal.name.into())], signal.active)),
    )?;
    encoder.write(
        &PROGRAM_RUNS,
        snapshot
            .costs
            .iter()
            .map(|cost| (vec![("program", cost.program.into())], cost.runs)),
    )?;
    encoder.write(
        &PROGRAM_SECONDS,
        snapshot
            .costs
            .iter()
            .map(|cost| (vec![("program", cost.program.into())], cost.seconds)),
    )?;
    bounds(snapshot, encoder)?;
    encoder.write(
        &LOST,
        snapshot
            .loss
            .iter()
            .map(|(what, n)| (vec![("what", what.label().into())], *n))
            .chain([
                (vec![("what", "program_run".into())], snapshot.skipped),
                (vec![("what", "state_change".into())], snapshot.missed_changes),
                (vec![("what", "unseen_connection".into())], snapshot.unseen),
                (vec![("what", "point".into())], snapshot.points_turned_away),
                (vec![("what", "cgroup".into())], snapshot.cgroups.1),
                (vec![("what", "attribution_wait".into())], snapshot.waiting.1),
                (vec![("what", "dependent".into())], snapshot.parties_turned_away.0),
                (vec![("what", "pair".into())], snapshot.parties_turned_away.1),
            ])
            .chain(snapshot.cluster.iter().flat_map(|cluster| {
                [
                    (vec![("what", "cluster_object".into())], cluster.sizes.turned_away),
                    (vec![("what", "late_address".into())], cluster.sizes.late),
                ]
            })),
    )?;
    encoder.write(&MENDED, std::iter::once((vec![], snapshot.mended)))?;
    encoder.write(&FAILURE_EVENTS, std::iter::once((vec![], snapshot.failure_events.0)))?;
    encoder.write(
        &ATTRIBUTED,
        snapshot.attributed.iter().map(|((end, found), n)| {
            let end = match end {
                End::Local => "local",
                End::Remote => "remote",
            };
            let result = match found {
                Found::Workload => "workload",
                Found::Point => "point",
                Found::Node => "node",
                Found::External => "external",
                Found::Unknown => "unknown",
            };
            (vec![("end", end.into()), ("result", result.into())], *n)
        }),
    )?;
    cluster(snapshot, encoder)?;
    encoder.write(
        &INVENTORY_VALID,
        snapshot
            .inventory
            .file
            .iter()
            .map(|_| (vec![], snapshot.inventory.error.is_none())),
    )?;
    encoder.write(
        &INVENTORY_MISSING,
        snapshot
            .inventory
            .file
            .iter()
            .map(|_| (vec![], snapshot.inventory.missing.len())),
    )?;
    encoder.write(&TICK, std::iter::once((vec![], &snapshot.tick_seconds)))?;
    own_process(encoder)
}

/// What the agent knows of its cluster, and how fresh that is.
fn cluster(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let sources = || snapshot.cluster.iter().flat_map(|cluster| &cluster.sources);
    let labels = |row: &SourceRow| vec![("source", row.label.into())];
    encoder.write(&LIST_AGE, sources().map(|row| (labels(row), row.age_seconds)))?;
    encoder.write(&LIST_SYNCED, sources().map(|row| (labels(row), row.status.synced)))?;
    encoder.write(&LIST_OBJECTS, sources().map(|row| (labels(row), row.objects)))?;
    encoder.write(&LISTS, sources().map(|row| (labels(row), row.status.lists)))?;
    encoder.write(&LIST_FAILURES, sources().map(|row| (labels(row), row.status.failures)))?;
    encoder.write(&UNREADABLE, sources().map(|row| (labels(row), row.status.unreadable)))?;
    encoder.write(
        &ADDRESSES,
        snapshot.cluster.iter().map(|cluster| (vec![], cluster.sizes.addresses)),
    )?;
    encoder.write(
        &WORKLOADS,
        snapshot.cluster.iter().map(|cluster| (vec![], cluster.sizes.workloads)),
    )
}

/// How full tables are.
fn bounds(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    for (table, bound) in [
        (&FLOWS, snapshot.flows),
        (&OVERFLOW, snapshot.overflow),
        (&POINTS, snapshot.point_bound),
        (&PAIRS, snapshot.boundary.pairs),
        (&WAITING, snapshot.waiting.0),
        (&CGROUPS, snapshot.cgroups.0),
        (&FAILURE_RECORDS, snapshot.failure_events.1),
    ] {
        encoder.write(&table.used, [(vec![], bound.used)])?;
        encoder.write(&table.limit, [(vec![], bound.limit)])?;
    }
    let Some(cluster) = &snapshot.cluster else {
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
