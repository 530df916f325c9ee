//! Where policy is enforced, and which connections bypass a point.

use super::snapshot::Snapshot;
use crate::{
    metrics::{
        Encoder, Labels,
        boundary::{BYPASSED, ENFORCED, EXCLUDED, HBONE_BLOCKED, HBONE_UNANSWERED, MODE},
        labels::PAIR,
    },
    model::{Attempts, ByKind, CalledPoint, Connections, Pair},
};
use std::fmt;

/// Encodes the families of [`crate::metrics::boundary`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let boundary = &snapshot.boundary;
    let enforced = boundary.enforced.iter().map(|row| (pair(&row.key), row.tally));
    let rest = boundary.enforced_rest.iter().map(|(name, by)| (nobody(name), *by));
    encoder.write(
        &ENFORCED,
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
    encoder.write(&BYPASSED, bypassed.chain(rest))?;
    let excluded = boundary.excluded.by_cause();
    encoder.write(
        &EXCLUDED,
        excluded.map(|(cause, n)| (vec![("cause", cause.label().into())], n)),
    )?;
    let attempts = |number: fn(&Attempts) -> u64| {
        let rows = boundary.hbone.iter();
        let rows = rows.map(move |row| (pair(&row.key), number(&row.tally)));
        let rest = boundary.hbone_rest.iter();
        let rest = rest.map(move |(name, n)| (nobody(name), number(n)));
        rows.chain(rest).filter(|(_, n)| *n > 0)
    };
    encoder.write(&HBONE_UNANSWERED, attempts(|all| all.unanswered))?;
    encoder.write(&HBONE_BLOCKED, attempts(|all| all.blocked))?;
    encoder.write(
        &MODE,
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

pub(super) fn pair(pair: &Pair) -> Labels<'_> {
    let (source, destination) = (pair.source.labels(), pair.destination.labels());
    let values = [source.0, source.1, destination.0, destination.1];
    let names = PAIR.iter().map(|label| label.name);
    names.zip(values.map(Into::into)).collect()
}

pub(super) fn nobody(name: &str) -> Labels<'_> {
    PAIR.iter().map(|label| (label.name, name.into())).collect()
}
