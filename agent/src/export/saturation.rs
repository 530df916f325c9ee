//! Processor time, memory and open files of points, and how full each resource is. A series that this node does not tell is
//! absent.

use super::{
    families::{Encoder, Labels, counters, counters_f64, gauges},
    inside::{SCHEDULING, UNREAD},
    rows::{ACCEPT_QUEUE, local, point_labels, with},
    snapshot::{PointRow, Snapshot},
};
use crate::{
    model::{PointLoad, Resources, saturation},
    node::resources::Pressure,
};
use std::{fmt, time::Duration};

/// Encodes them.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    processor_time(snapshot, encoder)?;
    memory_and_files(snapshot, encoder)?;
    gauges(
        encoder,
        "narrows_saturation_ratio",
        "How full the resource is, from 0 (idle) to 1 (full)",
        local(snapshot).flat_map(|row| {
            let known = ratios(snapshot, &row.load)
                .into_iter()
                .filter_map(|(name, ratio)| Some((name, ratio?)));
            known.map(|(name, ratio)| (with(point_labels(row), [("resource", name)]), ratio))
        }),
    )
}

/// How full each resource of a point is, by the value of the `resource` label; `None` where it cannot be known.
fn ratios(snapshot: &Snapshot, load: &PointLoad) -> [(&'static str, Option<f64>); 6] {
    let has = |needs: &[&str]| needs.iter().all(|name| snapshot.has(name));
    let (now, inside) = (&load.resources.now, &load.inside);
    let waited = has(SCHEDULING).then(|| inside.waited());
    let open = load.downstream.active.max(0) + load.upstream.active.max(0);
    let backlog = has(UNREAD).then(|| saturation::backlog(inside.unread(), open.cast_unsigned()));
    let listening = load.queues.values().filter(|queue| queue.listeners > 0);
    [
        ("cpu", load.resources.cpu_saturation(waited)),
        ("memory", now.memory_use),
        (
            "accept_queue",
            has(ACCEPT_QUEUE)
                .then(|| saturation::accept_queue(listening.map(|queue| queue.utilization)))
                .flatten(),
        ),
        (
            "open_files",
            now.files
                .and_then(|files| saturation::open_files(files.open, files.limit)),
        ),
        ("backlog", backlog.flatten()),
        (
            "ephemeral_ports",
            saturation::ephemeral_ports(inside.ports_used, inside.ports),
        ),
    ]
}

/// How full its fullest resource is; `None` where that is known of none.
pub(super) fn worst_ratio(snapshot: &Snapshot, load: &PointLoad) -> Option<f64> {
    let known = ratios(snapshot, load).into_iter().filter_map(|(_, ratio)| ratio);
    known.reduce(f64::max)
}

fn processor_time(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    counters_f64(
        encoder,
        "narrows_cpu_seconds",
        "Processor time used",
        rows(snapshot, |resources| resources.cpu.map(|time| time.as_secs_f64())),
    )?;
    counters_f64(
        encoder,
        "narrows_cpu_throttled_seconds",
        "Time that a quota held it back, summed over processors",
        rows(snapshot, |resources| {
            resources.throttling.map(|it| it.throttled.as_secs_f64())
        }),
    )?;
    counters(
        encoder,
        "narrows_cpu_periods",
        "Periods of its quota in which it wanted to run",
        rows(snapshot, |resources| resources.throttling.map(|it| it.periods)),
    )?;
    counters(
        encoder,
        "narrows_cpu_throttled_periods",
        "Periods in which it used up its quota",
        rows(snapshot, |resources| {
            resources.throttling.map(|it| it.throttled_periods)
        }),
    )?;
    gauges(
        encoder,
        "narrows_cpu_limit_cores",
        "Processors that it may use; absent when it may use all",
        rows(snapshot, |resources| resources.now.cpu_limit),
    )?;
    counters_f64(
        encoder,
        "narrows_pressure_seconds",
        "Time that some, or all, of its threads that wanted to go on waited for the resource (PSI)",
        local(snapshot).flat_map(|row| {
            let resources = &row.load.resources;
            [("cpu", resources.cpu_pressure), ("memory", resources.memory_pressure)]
                .into_iter()
                .filter_map(|(resource, pressure)| Some((resource, pressure?)))
                .flat_map(move |(resource, pressure)| pressures(row, resource, pressure))
        }),
    )
}

fn pressures<'a>(row: &'a PointRow, resource: &'a str, pressure: Pressure) -> [(Labels<'a>, f64); 2] {
    [("some", pressure.some), ("full", pressure.full)].map(|(scope, time): (_, Duration)| {
        (
            with(point_labels(row), [("resource", resource), ("scope", scope)]),
            time.as_secs_f64(),
        )
    })
}

fn memory_and_files(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    gauges(
        encoder,
        "narrows_memory_bytes",
        "Memory in use, without file pages that the kernel can take back at once (working set)",
        rows(snapshot, |resources| resources.now.memory.map(|bytes| bytes as f64)),
    )?;
    gauges(
        encoder,
        "narrows_memory_limit_bytes",
        "Memory that it may use; absent when it may use all of the machine's",
        rows(snapshot, |resources| {
            resources.now.memory_limit.map(|bytes| bytes as f64)
        }),
    )?;
    gauges(
        encoder,
        "narrows_open_files",
        "Open files of its process that is closest to its limit",
        rows(snapshot, |resources| resources.now.files.map(|files| files.open as f64)),
    )?;
    gauges(
        encoder,
        "narrows_open_files_limit",
        "Files that this process may open",
        rows(snapshot, |resources| {
            resources.now.files.map(|files| files.limit as f64)
        }),
    )
}

/// One series for each of them of which this is known.
fn rows<'a, T>(
    snapshot: &'a Snapshot,
    value: impl Fn(&Resources) -> Option<T> + 'a,
) -> impl Iterator<Item = (Labels<'a>, T)> {
    local(snapshot).filter_map(move |row| Some((point_labels(row), value(&row.load.resources)?)))
}
