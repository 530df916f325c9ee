//! Common parts of the rows of several families: their labels, and the points they belong to.

use super::snapshot::Snapshot;
use crate::{
    metrics::{Labels, with},
    model::rows::PointRow,
    points::Point,
};
use agent_common::Reason;

/// The labels of every series of a point.
pub(super) fn point_labels(row: &PointRow) -> Labels<'_> {
    labels_of(&row.load.point)
}

/// The labels of a point's instance.
pub(super) fn labels_of(point: &Point) -> Labels<'_> {
    vec![
        ("point", point.name.as_str().into()),
        ("kind", point.kind.label().into()),
        ("mesh", point.mesh.label().into()),
        ("instance_pod", point.instance.as_str().into()),
    ]
}

/// Points that run here.
pub(super) fn local(snapshot: &Snapshot) -> impl Iterator<Item = &PointRow> {
    snapshot.points.iter().filter(|row| row.load.local)
}

/// A series for each reason that has occurred. `phase` distinguishes the two kinds of time-out, and the other reasons likewise.
pub(super) fn by_reason<'a>(
    labels: Labels<'a>,
    failures: &'a [u64; Reason::COUNT],
) -> impl Iterator<Item = (Labels<'a>, u64)> {
    Reason::ALL
        .into_iter()
        .zip(failures)
        .filter(|(_, n)| **n > 0)
        .map(move |(reason, n)| {
            (
                with(labels.clone(), [("reason", reason.label()), ("phase", reason.phase())]),
                *n,
            )
        })
}
