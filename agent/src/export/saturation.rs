//! CPU time, memory and open files of points, and how full each resource is. A series that this node does not provide is absent.

use super::{
    rows::{local, point_labels},
    snapshot::Snapshot,
};
use crate::{
    metrics::{Encoder, Labels, load, resources, with},
    model::{PointLoad, Resources, rows::PointRow, saturation},
    node::resources::Pressure,
    program::Offer,
    signals::{scheduling, sockets},
};
use std::{fmt, time::Duration};

/// Encodes the families of [`crate::metrics::resources`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    processor_time(snapshot, encoder)?;
    memory_and_files(snapshot, encoder)?;
    let offer = snapshot.offer();
    encoder.write(
        &resources::SATURATION,
        local(snapshot).flat_map(|row| {
            let known = ratios(&offer, &row.load)
                .into_iter()
                .filter_map(|(name, ratio)| Some((name, ratio?)));
            known.map(|(name, ratio)| (with(point_labels(row), [("resource", name)]), ratio))
        }),
    )
}

/// The saturation of each resource of a point, by the value of the `resource` label; `None` where it cannot be known.
pub(super) fn ratios(offer: &Offer, load: &PointLoad) -> [(&'static str, Option<f64>); 6] {
    let (now, inside) = (&load.resources.now, &load.inside);
    let waited = offer
        .has_all(scheduling::RUN_QUEUE.needs)
        .then(|| inside.scheduling.waited());
    let open = load.downstream.active.max(0) + load.upstream.active.max(0);
    let backlog = offer
        .has_all(sockets::UNREAD_NEEDS)
        .then(|| saturation::backlog(inside.sockets.unread(), open.cast_unsigned()));
    let listening = load.queues.values().filter(|queue| queue.listeners > 0);
    [
        ("cpu", load.resources.cpu_saturation(waited)),
        ("memory", now.memory_use),
        (
            "accept_queue",
            offer
                .has_all(load::QUEUE.needs)
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
            offer
                .has_all(sockets::PORTS_NEEDS)
                .then(|| saturation::ephemeral_ports(inside.sockets.ports_used, inside.sockets.ports))
                .flatten(),
        ),
    ]
}

/// The saturation of its fullest resource; `None` where none is known.
pub(super) fn worst_ratio(offer: &Offer, load: &PointLoad) -> Option<f64> {
    let known = ratios(offer, load).into_iter().filter_map(|(_, ratio)| ratio);
    known.reduce(f64::max)
}

fn processor_time(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    encoder.write(
        &resources::CPU,
        rows(snapshot, |resources| resources.cpu.map(|time| time.as_secs_f64())),
    )?;
    encoder.write(
        &resources::CPU_THROTTLED,
        rows(snapshot, |resources| {
            resources.throttling.map(|it| it.throttled.as_secs_f64())
        }),
    )?;
    encoder.write(
        &resources::CPU_PERIODS,
        rows(snapshot, |resources| resources.throttling.map(|it| it.periods)),
    )?;
    encoder.write(
        &resources::CPU_THROTTLED_PERIODS,
        rows(snapshot, |resources| {
            resources.throttling.map(|it| it.throttled_periods)
        }),
    )?;
    encoder.write(
        &resources::CPU_LIMIT,
        rows(snapshot, |resources| resources.now.cpu_limit),
    )?;
    encoder.write(
        &resources::PRESSURE,
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
    encoder.write(&resources::MEMORY, rows(snapshot, |resources| resources.now.memory))?;
    encoder.write(
        &resources::MEMORY_LIMIT,
        rows(snapshot, |resources| resources.now.memory_limit),
    )?;
    encoder.write(
        &resources::OPEN_FILES,
        rows(snapshot, |resources| resources.now.files.map(|files| files.open)),
    )?;
    encoder.write(
        &resources::OPEN_FILES_LIMIT,
        rows(snapshot, |resources| resources.now.files.map(|files| files.limit)),
    )
}

/// One series for each point for which this is known.
fn rows<'a, T>(
    snapshot: &'a Snapshot,
    value: impl Fn(&Resources) -> Option<T> + 'a,
) -> impl Iterator<Item = (Labels<'a>, T)> {
    local(snapshot).filter_map(move |row| Some((point_labels(row), value(&row.load.resources)?)))
}
