//! Paths through points.

use super::{
    boundary::{nobody, pair},
    rows::{by_reason, point_labels},
    snapshot::Snapshot,
};
use crate::{
    metrics::{
        Encoder, Labels,
        paths::{PATH_CONNECTIONS, PATH_FAILURES, PATH_TURNS},
    },
    model::PathTally,
};
use std::fmt;

/// Encodes the families of [`crate::metrics::paths`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    encoder.write(
        &PATH_CONNECTIONS,
        paths(snapshot).map(|(labels, path)| (labels, path.connections)),
    )?;
    encoder.write(
        &PATH_TURNS,
        paths(snapshot)
            .filter(|(_, path)| path.turns > 0)
            .map(|(labels, path)| (labels, path.turns)),
    )?;
    encoder.write(
        &PATH_FAILURES,
        paths(snapshot).flat_map(|(labels, path)| by_reason(labels, &path.failures)),
    )
}

fn paths(snapshot: &Snapshot) -> impl Iterator<Item = (Labels<'_>, &PathTally)> {
    snapshot.points.iter().flat_map(|row| {
        let named = row.paths.rows.iter().map(move |path| {
            let mut labels = point_labels(row);
            labels.extend(pair(&path.key.pair));
            labels.push(("certainty", path.key.certainty.label().into()));
            (labels, &path.tally)
        });
        let rest = row.paths.rest.iter().map(move |(name, tally)| {
            let mut labels = point_labels(row);
            labels.extend(nobody(name));
            labels.push(("certainty", (*name).into()));
            (labels, tally)
        });
        named.chain(rest)
    })
}
