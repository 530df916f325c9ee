//! Encodes a snapshot as metrics.

use super::{
    boundary, control_plane, dependency, drains, half_closed, own, paths,
    rows::{by_reason, local, point_labels},
    saturation,
    snapshot::Snapshot,
};
use crate::{
    metrics::{
        Encoder, Family, Format, Labels, Series,
        failures::{CALLER_CONNECT_DURATION, CALLER_FAILURES, CALLER_OPENED, CALLER_SYN_RETRANSMITS, FAILURES},
        load, with,
    },
    model::{CalledPoint, Side},
    signals,
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};
use std::{fmt, sync::Arc};

/// Writes a snapshot in a text format.
///
/// # Errors
/// Those of the output.
pub fn text(snapshot: Arc<Snapshot>, format: Format, out: &mut impl fmt::Write) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(SnapshotCollector(snapshot, format)));
    match format {
        Format::OpenMetrics => prometheus_client::encoding::text::encode(out, &registry),
        Format::Prometheus => prometheus_client::encoding::text::encode_registry(out, &registry),
    }
}

/// What the client library asks for the metrics.
#[derive(Debug)]
struct SnapshotCollector(Arc<Snapshot>, Format);

impl Collector for SnapshotCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(snapshot, format) = self;
        encode(snapshot, &mut Encoder::text(encoder, *format, snapshot.terms()))
    }
}

/// The cumulative series of this agent and previous ones, for the next agent; as of `now`, in milliseconds since 1970.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn series(snapshot: &Snapshot, now: i64) -> Result<Series, fmt::Error> {
    let mut series = Series::default();
    encode(snapshot, &mut Encoder::kept(&mut series, now, snapshot.terms()))?;
    Ok(series)
}

fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    sides(snapshot, encoder)?;
    accept_queues(snapshot, encoder)?;
    let inside: Vec<_> = local(snapshot)
        .map(|row| (point_labels(row), &row.load.inside))
        .collect();
    signals::encode(&inside, encoder)?;
    called(snapshot, encoder)?;
    saturation::encode(snapshot, encoder)?;
    dependency::encode(snapshot, encoder)?;
    drains::encode(snapshot, encoder)?;
    half_closed::encode(snapshot, encoder)?;
    control_plane::encode(snapshot, encoder)?;
    paths::encode(snapshot, encoder)?;
    boundary::encode(snapshot, encoder)?;
    own::encode(snapshot, encoder)
}

/// Both sides of every point that runs here.
fn sides(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let all = || {
        local(snapshot).flat_map(|row| {
            [("downstream", &row.load.downstream), ("upstream", &row.load.upstream)]
                .map(|(name, side)| (with(point_labels(row), [("side", name)]), side))
        })
    };
    type Of = fn(&Side) -> u64;
    let counters: [(&Family, Of); 6] = [
        (&load::OPENED, |side| side.opened),
        (&load::CLOSED, |side| side.closed),
        (&load::RECEIVED, |side| side.received),
        (&load::SENT, |side| side.sent),
        (&load::RETRANSMITS, |side| side.retransmits),
        (&load::SYN_RETRANSMITS, |side| side.syn_retransmits),
    ];
    for (family, of) in counters {
        encoder.write(family, all().map(|(labels, side)| (labels, of(side))))?;
    }
    encoder.write(&load::ACTIVE, all().map(|(labels, side)| (labels, side.active)))?;
    let processes = local(snapshot).map(|row| (point_labels(row), row.load.processes));
    encoder.write(&load::PROCESSES, processes)?;
    let upstream = local(snapshot).map(|row| {
        let labels = with(point_labels(row), [("side", "upstream")]);
        (labels, &row.load.upstream.connect)
    });
    encoder.write(&load::CONNECT_DURATION, upstream)?;
    encoder.write(
        &load::ROUND_TRIP,
        all().map(|(labels, side)| (labels, &side.round_trip)),
    )?;
    encoder.write(
        &FAILURES,
        all().flat_map(|(labels, side)| by_reason(labels, &side.failures)),
    )
}

fn accept_queues(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let queues = || {
        local(snapshot).flat_map(|row| {
            row.load.queues.iter().map(move |(port, queue)| {
                let mut labels = point_labels(row);
                labels.push(("port", port.to_string().into()));
                (labels, queue)
            })
        })
    };
    // A port without listeners still has drops to show, but no queue.
    let open = || queues().filter(|(_, queue)| queue.listeners > 0);
    encoder.write(&load::QUEUE, open().map(|(labels, queue)| (labels, queue.queued)))?;
    encoder.write(&load::QUEUE_LIMIT, open().map(|(labels, queue)| (labels, queue.limit)))?;
    encoder.write(
        &load::QUEUE_UTILIZATION,
        open().map(|(labels, queue)| (labels, queue.utilization)),
    )?;
    encoder.write(
        &load::QUEUE_OLDEST,
        open().filter_map(|(labels, queue)| Some((labels, queue.oldest_us? as f64 / 1e6))),
    )?;
    encoder.write(
        &load::QUEUE_DROPS,
        queues().map(|(labels, queue)| (labels, queue.drops)),
    )
}

/// The callers' view, on this node, of each point.
fn called(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    fn labels(point: &CalledPoint) -> Labels<'_> {
        vec![
            ("point", point.name.as_str().into()),
            ("kind", point.kind.label().into()),
            ("mesh", point.mesh.label().into()),
        ]
    }
    let all = || snapshot.called.iter().map(|(point, called)| (labels(point), called));
    encoder.write(&CALLER_OPENED, all().map(|(labels, called)| (labels, called.opened)))?;
    encoder.write(
        &CALLER_FAILURES,
        all().flat_map(|(labels, called)| by_reason(labels, &called.failures)),
    )?;
    encoder.write(
        &CALLER_SYN_RETRANSMITS,
        all().map(|(labels, called)| (labels, called.syn_retransmits)),
    )?;
    encoder.write(
        &CALLER_CONNECT_DURATION,
        all().map(|(labels, called)| (labels, &called.connect)),
    )
}

#[cfg(test)]
mod tests;
