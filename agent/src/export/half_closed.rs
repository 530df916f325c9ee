//! Connections of points that one end has closed and the other one has not.

use super::{
    dependency::names,
    rows::{local, point_labels},
    snapshot::Snapshot,
};
use crate::{
    identity::Workload,
    metrics::{
        Encoder, Family, Label, Labels,
        dependents::{DEPENDENT_HALF_CLOSED, SERVED_HALF_CLOSED},
        labels::{DESTINATION, SOURCE},
        with,
    },
    model::{HalfClosed, HalfClosedBy},
};
use std::{cmp::Reverse, fmt, sync::Arc};

/// The number of workloads that are shown of a side.
const SHOWN: usize = 10;

/// The values of the label `first_fin`, in the order of the counts.
const FIRST_FIN: [&str; 2] = ["peer", "point"];

/// Encodes the families.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    side(snapshot, encoder, &DEPENDENT_HALF_CLOSED, SOURCE, |all| &all.downstream)?;
    side(snapshot, encoder, &SERVED_HALF_CLOSED, DESTINATION, |all| &all.upstream)
}

fn side(
    snapshot: &Snapshot,
    encoder: &mut Encoder<'_>,
    family: &Family,
    labels: &'static [Label],
    of: fn(&HalfClosed) -> &HalfClosedBy,
) -> fmt::Result {
    let rows = local(snapshot).flat_map(|row| {
        let (named, rest) = busiest(of(&row.half_closed));
        let named = named.into_iter().map(move |(who, n)| {
            let labels: Labels<'_> = with(point_labels(row), names(labels, who));
            (labels, n)
        });
        let rest = rest.into_iter().map(move |(name, n)| {
            let all = labels.iter().map(|label| (label.name, name));
            (with(point_labels(row), all), n)
        });
        named.chain(rest).flat_map(|(labels, n)| {
            let by = FIRST_FIN.into_iter().zip(n).filter(|(_, n)| *n > 0);
            by.map(move |(who, n)| (with(labels.clone(), [("first_fin", who)]), n))
        })
    });
    encoder.write(family, rows)
}

/// What is shown: workloads with their counts, and the sums of the others and of those that are not known.
type Shown<'a> = (Vec<(&'a Arc<Workload>, [u64; 2])>, Vec<(&'static str, [u64; 2])>);

fn busiest(all: &HalfClosedBy) -> Shown<'_> {
    let named = all.iter().filter_map(|(who, n)| Some((who.as_ref()?, *n)));
    let mut named: Vec<_> = named.collect();
    named.sort_by_cached_key(|(who, [peer, point])| (Reverse(peer + point), who.namespace.clone(), who.name.clone()));
    let others = named.split_off(named.len().min(SHOWN));
    let sum = |one: [u64; 2], other: [u64; 2]| [one[0] + other[0], one[1] + other[1]];
    let other = others.into_iter().map(|(_, n)| n).reduce(sum);
    let rest = [("_other", other), ("unknown", all.get(&None).copied())];
    (
        named,
        rest.into_iter().filter_map(|(name, n)| Some((name, n?))).collect(),
    )
}
