//! The agent's own metrics: what it lost, what it could not see, what it costs.

use super::{
    families::{Encoder, counters, gauges, histograms, own_counters},
    process,
    snapshot::{Bound, Snapshot, SourceRow},
};
use crate::{
    model::{End, Found},
    node,
};
use std::fmt;

/// Encodes them.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    gauges(
        encoder,
        "narrows_build_info",
        "Version of the agent and of the kernel it runs on",
        std::iter::once((
            vec![
                ("version", env!("CARGO_PKG_VERSION").into()),
                ("kernel", node::kernel_release().into()),
            ],
            1.0,
        )),
    )?;
    gauges(
        encoder,
        "narrows_program_active",
        "1 when the kernel program is attached; the reason for a 0 is in the log and in /api/v1/status",
        snapshot
            .programs
            .iter()
            .map(|p| (vec![("program", p.program.into())], f64::from(u8::from(p.active)))),
    )?;
    gauges(
        encoder,
        "narrows_signal_active",
        "1 when this node offers the signal; the reason for a 0 is in /api/v1/status",
        snapshot
            .signals
            .iter()
            .map(|signal| (vec![("signal", signal.name.into())], f64::from(u8::from(signal.active)))),
    )?;
    own_counters(
        encoder,
        "narrows_program_runs",
        "Runs of the kernel program; only while the kernel counts them (sysctl kernel.bpf_stats_enabled)",
        snapshot
            .costs
            .iter()
            .map(|cost| (vec![("program", cost.program.into())], cost.runs as f64)),
    )?;
    own_counters(
        encoder,
        "narrows_program_seconds",
        "Time spent in the kernel program; only while the kernel measures it",
        snapshot
            .costs
            .iter()
            .map(|cost| (vec![("program", cost.program.into())], cost.seconds)),
    )?;
    bounds(snapshot, encoder)?;
    own_counters(
        encoder,
        "narrows_lost",
        "What was not counted, or not in full detail, by what",
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
                (vec![("what", "party".into())], snapshot.parties_turned_away.0),
                (vec![("what", "pair".into())], snapshot.parties_turned_away.1),
            ])
            .chain(snapshot.cluster.iter().flat_map(|cluster| {
                [
                    (vec![("what", "cluster_object".into())], cluster.sizes.turned_away),
                    (vec![("what", "late_address".into())], cluster.sizes.late),
                ]
            }))
            .map(|(labels, n)| (labels, n as f64)),
    )?;
    counters(
        encoder,
        "narrows_mended_connections",
        "Connections counted as ended because no walk over open files found them for as long as an idle flow stays, and only program \
         runs that the kernel left out explain that they were open",
        std::iter::once((vec![], snapshot.mended)),
    )?;
    counters(
        encoder,
        "narrows_failure_events",
        "Failed connections that the kernel told of one by one; narrows_lost_total has those that it did not",
        std::iter::once((vec![], snapshot.failure_events.0)),
    )?;
    counters(
        encoder,
        "narrows_attributed_connections",
        "Connections opened, by end and by who it was found to be",
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
    gauges(
        encoder,
        "narrows_inventory_valid",
        "1 while the inventory file is as it should be; at 0 its last good version is in use",
        snapshot
            .inventory
            .file
            .iter()
            .map(|_| (vec![], f64::from(u8::from(snapshot.inventory.error.is_none())))),
    )?;
    gauges(
        encoder,
        "narrows_inventory_missing",
        "Cgroups and network namespaces that the inventory names and that do not exist",
        snapshot
            .inventory
            .file
            .iter()
            .map(|_| (vec![], snapshot.inventory.missing.len() as f64)),
    )?;
    histograms(
        encoder,
        "narrows_tick_seconds",
        "How long a tick takes: sampling, reading, attributing, adding up",
        std::iter::once((vec![], &snapshot.tick_seconds)),
    )?;
    own_process(encoder)
}

/// What the agent knows of its cluster, and how fresh that is.
fn cluster(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let sources = || snapshot.cluster.iter().flat_map(|cluster| &cluster.sources);
    let labels = |row: &SourceRow| vec![("source", row.label.into())];
    gauges(
        encoder,
        "narrows_identity_age_seconds",
        "Seconds since the API server last said anything about this list; it is watched, so this is about a minute at most",
        sources().map(|row| (labels(row), row.age_seconds)),
    )?;
    gauges(
        encoder,
        "narrows_identity_synced",
        "1 when the list has been complete once",
        sources().map(|row| (labels(row), f64::from(u8::from(row.status.synced)))),
    )?;
    gauges(
        encoder,
        "narrows_identity_objects",
        "Objects of this list that are known",
        sources().map(|row| (labels(row), row.objects as f64)),
    )?;
    counters(
        encoder,
        "narrows_identity_lists",
        "Times the list was read from the beginning to the end",
        sources().map(|row| (labels(row), row.status.lists)),
    )?;
    counters(
        encoder,
        "narrows_identity_failures",
        "Requests for this list that failed; the reason is in the log and in /api/v1/status",
        sources().map(|row| (labels(row), row.status.failures)),
    )?;
    counters(
        encoder,
        "narrows_identity_unreadable_objects",
        "Objects of this list that could not be read, and were left out",
        sources().map(|row| (labels(row), row.status.unreadable)),
    )?;
    gauges(
        encoder,
        "narrows_addresses",
        "Addresses of pods that are known, with those given up lately",
        snapshot
            .cluster
            .iter()
            .map(|cluster| (vec![], cluster.sizes.addresses as f64)),
    )?;
    gauges(
        encoder,
        "narrows_workloads",
        "Workloads of the cluster that are known",
        snapshot
            .cluster
            .iter()
            .map(|cluster| (vec![], cluster.sizes.workloads as f64)),
    )
}

fn bounds(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    for (name, help, bound) in [
        ("narrows_flows", "Entries of the kernel's flow table", snapshot.flows),
        (
            "narrows_overflow_flows",
            "Entries of the table for owners whose flows found no place",
            snapshot.overflow,
        ),
        ("narrows_points", "Points with series", snapshot.point_bound),
        (
            "narrows_pairs",
            "Pairs of callers and called that have series of their own",
            snapshot.boundary.pairs,
        ),
        (
            "narrows_waiting_counts",
            "Counts of flows that wait for the identity of an end",
            snapshot.waiting.0,
        ),
        ("narrows_cgroups", "Cgroups that are remembered", snapshot.cgroups.0),
        (
            "narrows_failure_records",
            "Failed connections that are kept, to be asked for one by one",
            snapshot.failure_events.1,
        ),
    ]
    .into_iter()
    .chain(snapshot.cluster.iter().map(|cluster| {
        (
            "narrows_pods",
            "Pods of the cluster that are known",
            Bound {
                used: cluster.sizes.pods,
                limit: cluster.sizes.pods_limit,
            },
        )
    })) {
        gauges(encoder, name, help, std::iter::once((vec![], bound.used as f64)))?;
        let (name, help) = (format!("{name}_limit"), format!("{help}: how many there may be"));
        gauges(encoder, &name, &help, std::iter::once((vec![], bound.limit as f64)))?;
    }
    Ok(())
}

fn own_process(encoder: &mut Encoder<'_>) -> fmt::Result {
    let Some(own) = process::read() else { return Ok(()) };
    own_counters(
        encoder,
        "process_cpu_seconds",
        "Processor time of the agent in user and kernel mode",
        std::iter::once((vec![], own.cpu_seconds)),
    )?;
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory of the agent",
            own.resident_bytes as f64,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory of the agent",
            own.virtual_bytes as f64,
        ),
        ("process_open_fds", "Files the agent has open", own.open_files as f64),
        (
            "process_max_fds",
            "Files the agent may open",
            own.open_files_limit as f64,
        ),
        (
            "process_start_time_seconds",
            "When the agent started, in seconds since 1970",
            own.start_seconds,
        ),
    ] {
        gauges(encoder, name, help, std::iter::once((vec![], value)))?;
    }
    Ok(())
}
