//! Where policy is enforced, and what passes it by.

use super::{
    families::{Encoder, Labels, counters, gauges},
    snapshot::Snapshot,
};
use crate::model::{ByKind, CalledPoint, Connections, Pair};
use std::fmt;

/// Encodes it.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let boundary = &snapshot.boundary;
    let enforced = boundary.enforced.iter().map(|row| (pair(&row.key), row.tally));
    let rest = boundary.enforced_rest.iter().map(|(name, by)| (nobody(name), *by));
    counters(
        encoder,
        "narrows_enforced_connections",
        "TCP connections that workloads of this node accepted, by the kind of point that carried them to it (none: no point did)",
        enforced.chain(rest).flat_map(|(labels, by): (Labels<'_>, ByKind)| {
            by.labelled().map(move |(kind, n)| {
                let mut labels = labels.clone();
                labels.push(("enforced_by", kind.into()));
                (labels, n)
            })
        }),
    )?;
    let bypassed = boundary.bypassed.iter().map(|row| {
        let mut labels = point(&row.key.point);
        labels.extend(pair(&row.key.pair));
        (labels, row.tally.0)
    });
    let rest = (boundary.bypassed_rest.iter())
        .filter(|(_, Connections(n))| *n > 0)
        .map(|(name, Connections(n))| {
            let mut labels = vec![("point", (*name).into()), ("kind", (*name).into())];
            labels.extend(nobody(name));
            (labels, *n)
        });
    counters(
        encoder,
        "narrows_bypassed_connections",
        "TCP connections that did not pass the point that was expected on their way: a waypoint that the called workload, its service \
         or its namespace names; the called workload's sidecar; the zone's egress",
        bypassed.chain(rest),
    )?;
    gauges(
        encoder,
        "narrows_workload_mode",
        "1 for how the workload takes part in its mesh, as its pods on this node show it: sidecar, ambient, ambient_waypoint, none, mixed",
        boundary.modes.iter().map(|((namespace, name), mode)| {
            let labels: Labels<'_> = vec![
                ("workload_namespace", namespace.into()),
                ("workload", name.into()),
                ("mode", mode.label().into()),
            ];
            (labels, 1.0)
        }),
    )
}

fn point(point: &CalledPoint) -> Labels<'_> {
    vec![
        ("point", point.name.as_str().into()),
        ("kind", point.kind.label().into()),
    ]
}

const ENDS: [&str; 4] = [
    "source_workload_namespace",
    "source_workload",
    "destination_workload_namespace",
    "destination_workload",
];

fn pair(pair: &Pair) -> Labels<'_> {
    let (source, destination) = (pair.source.labels(), pair.destination.labels());
    let values = [source.0, source.1, destination.0, destination.1];
    ENDS.into_iter().zip(values.map(Into::into)).collect()
}

fn nobody(name: &str) -> Labels<'_> {
    ENDS.into_iter().map(|label| (label, name.into())).collect()
}
