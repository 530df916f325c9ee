//! Connections of points that one end has closed and the other one has not.

use super::{
    dependency::by_workload,
    rows::{local, point_labels},
    snapshot::Snapshot,
};
use crate::{
    metrics::{
        Encoder, Family, Label,
        dependents::{DEPENDENT_HALF_CLOSED, SERVED_HALF_CLOSED},
        labels::{DESTINATION, SOURCE},
        with,
    },
    model::{Busiest, rows::HalfClosedRows},
};
use std::fmt;

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
    of: fn(&HalfClosedRows) -> &Busiest<2>,
) -> fmt::Result {
    let all = local(snapshot).flat_map(|row| by_workload(point_labels(row), labels, of(&row.half_closed)));
    let rows = all.flat_map(|(labels, n)| {
        let by = FIRST_FIN.into_iter().zip(n).filter(|(_, n)| *n > 0);
        by.map(move |(who, n)| (with(labels.clone(), [("first_fin", who)]), n))
    });
    encoder.write(family, rows)
}
