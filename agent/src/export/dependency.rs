//! Who depends on points, who is reached through them, and how near they are to being everybody's problem.

use super::{
    rows::{by_reason, local, point_labels},
    saturation::worst_ratio,
    snapshot::{PartyRows, PointRow, Snapshot},
};
use crate::{
    identity::Workload,
    metrics::{
        Encoder, Labels,
        dependents::{
            ACTIVE_WORKLOADS, CHOKE_RISK, CONCENTRATION, DEPENDENT_ACTIVE, DEPENDENT_BYTES, DEPENDENT_CONNECTIONS,
            DEPENDENT_FAILURES, DEPENDENT_OPEN, DEPENDENT_SHARE, DEPENDENTS, DEPENDENTS_UNTRACKED, SERVED,
            SERVED_ACTIVE, SERVED_CONNECTIONS, SERVED_FAILURES, SERVED_OPEN, SERVED_UNTRACKED, TRAFFIC_SHARE,
        },
        with,
    },
    model::{Counts, Share, saturation},
};
use std::fmt;

/// Names of the labels for namespace, name and principal.
type Names = [&'static str; 3];

/// One of the two sides of a point.
type Of = fn(&PointRow) -> &PartyRows;

const SOURCE: Names = ["source_workload_namespace", "source_workload", "source_principal"];

const DESTINATION: Names = [
    "destination_workload_namespace",
    "destination_workload",
    "destination_principal",
];

/// Encodes them.
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    dependents(snapshot, encoder)?;
    served(snapshot, encoder)?;
    encoder.write(
        &CONCENTRATION,
        snapshot
            .points
            .iter()
            .filter_map(|row| Some((point_labels(row), row.window.concentration?))),
    )?;
    encoder.write(
        &TRAFFIC_SHARE,
        snapshot
            .points
            .iter()
            .filter_map(|row| Some((point_labels(row), row.window.traffic?))),
    )?;
    encoder.write(
        &CHOKE_RISK,
        local(snapshot).filter_map(|row| {
            let risk = saturation::choke_risk(
                worst_ratio(snapshot, &row.load)?,
                row.window.dependents.workloads,
                snapshot.workloads,
            );
            Some((point_labels(row), risk?))
        }),
    )?;
    encoder.write(&ACTIVE_WORKLOADS, std::iter::once((vec![], snapshot.workloads)))
}

fn dependents(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    const OF: Of = |row| &row.dependents;
    encoder.write(
        &DEPENDENTS,
        snapshot
            .points
            .iter()
            .flat_map(|row| counts(row, row.window.dependents)),
    )?;
    encoder.write(
        &DEPENDENTS_UNTRACKED,
        snapshot
            .points
            .iter()
            .map(|row| (point_labels(row), row.dependents.untracked)),
    )?;
    encoder.write(&DEPENDENT_ACTIVE, active(snapshot, OF, SOURCE))?;
    encoder.write(
        &DEPENDENT_SHARE,
        snapshot.points.iter().flat_map(|row| {
            let known = row.dependents.rows.iter().zip(&row.shares);
            known
                .filter(|(party, _)| party.active)
                .filter_map(|(party, share)| Some((with(point_labels(row), names(SOURCE, &party.key)), (*share)?)))
        }),
    )?;
    encoder.write(
        &DEPENDENT_CONNECTIONS,
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.connections)),
    )?;
    encoder.write(
        &DEPENDENT_OPEN,
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.active)),
    )?;
    encoder.write(
        &DEPENDENT_BYTES,
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.bytes)),
    )?;
    encoder.write(
        &DEPENDENT_FAILURES,
        shares(snapshot, OF, SOURCE).flat_map(|(labels, share)| by_reason(labels, &share.failures)),
    )
}

fn served(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    const OF: Of = |row| &row.served;
    encoder.write(&SERVED, local(snapshot).flat_map(|row| counts(row, row.window.served)))?;
    encoder.write(
        &SERVED_UNTRACKED,
        local(snapshot).map(|row| (point_labels(row), row.served.untracked)),
    )?;
    encoder.write(&SERVED_ACTIVE, active(snapshot, OF, DESTINATION))?;
    encoder.write(
        &SERVED_CONNECTIONS,
        shares(snapshot, OF, DESTINATION).map(|(labels, share)| (labels, share.connections)),
    )?;
    encoder.write(
        &SERVED_OPEN,
        shares(snapshot, OF, DESTINATION).map(|(labels, share)| (labels, share.active)),
    )?;
    encoder.write(
        &SERVED_FAILURES,
        shares(snapshot, OF, DESTINATION).flat_map(|(labels, share)| by_reason(labels, &share.failures)),
    )
}

fn counts(row: &PointRow, counts: Counts) -> [(Labels<'_>, usize); 3] {
    [
        ("workload", counts.workloads),
        ("service_account", counts.service_accounts),
        ("namespace", counts.namespaces),
    ]
    .map(|(scope, n)| (with(point_labels(row), [("scope", scope)]), n))
}

fn names(names: Names, who: &Workload) -> [(&'static str, &str); 3] {
    let [namespace, name, principal] = names;
    [
        (namespace, who.namespace.as_str()),
        (name, who.name.as_str()),
        (principal, who.principal.as_str()),
    ]
}

fn active<'a>(snapshot: &'a Snapshot, of: Of, labels: Names) -> impl Iterator<Item = (Labels<'a>, bool)> {
    snapshot.points.iter().flat_map(move |row| {
        let rows = of(row).rows.iter();
        rows.map(move |party| (with(point_labels(row), names(labels, &party.key)), party.active))
    })
}

/// The shares of all: those in detail, and the others under what they are called.
fn shares<'a>(snapshot: &'a Snapshot, of: Of, labels: Names) -> impl Iterator<Item = (Labels<'a>, &'a Share)> {
    snapshot.points.iter().flat_map(move |row| {
        let parties = of(row);
        let detail = parties.rows.iter();
        let detail = detail.map(move |party| (with(point_labels(row), names(labels, &party.key)), &party.tally));
        let rest = parties.rest.iter();
        let rest = rest.map(move |(name, share)| (with(point_labels(row), labels.map(|label| (label, *name))), share));
        detail.chain(rest)
    })
}
