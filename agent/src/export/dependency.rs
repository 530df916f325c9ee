//! Dependents, served workloads and the blast radius of points.

use super::{
    rows::{by_reason, local, point_labels},
    saturation::worst_ratio,
    snapshot::Snapshot,
};
use crate::{
    identity::Workload,
    metrics::{
        Encoder, Label, Labels,
        dependents::{
            ACTIVE_WORKLOADS, CHOKE_RISK, CONCENTRATION, DEPENDENT_ACTIVE, DEPENDENT_BYTES, DEPENDENT_CONNECTIONS,
            DEPENDENT_FAILURES, DEPENDENT_OPEN, DEPENDENT_OPEN_BY_AGE, DEPENDENT_SHARE, DEPENDENTS,
            DEPENDENTS_UNTRACKED, SERVED, SERVED_ACTIVE, SERVED_CONNECTIONS, SERVED_FAILURES, SERVED_OPEN,
            SERVED_UNTRACKED, TRAFFIC_SHARE, UNNAMED_CALLERS,
        },
        labels::{DESTINATION, SOURCE},
        with,
    },
    model::{
        Busiest, Counts, Share,
        rows::{EndpointRows, PointRow},
        saturation,
    },
    signals::lifetimes,
};
use std::fmt;

/// The labels for namespace, name and principal.
type Names = &'static [Label];

/// Selects one of the two sides of a point.
type Of = fn(&PointRow) -> &EndpointRows;

/// Encodes the families of [`crate::metrics::dependents`].
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
    let offer = snapshot.offer();
    encoder.write(
        &CHOKE_RISK,
        local(snapshot).filter_map(|row| {
            let risk = saturation::choke_risk(
                worst_ratio(&offer, &row.load)?,
                row.window.dependents.workloads,
                snapshot.model.workloads,
            );
            Some((point_labels(row), risk?))
        }),
    )?;
    encoder.write(&ACTIVE_WORKLOADS, std::iter::once((vec![], snapshot.model.workloads)))
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
            let active = row.dependents.rows.iter().filter(|dependent| dependent.row.active);
            active.filter_map(|dependent| {
                let labels = with(point_labels(row), names(SOURCE, &dependent.row.key));
                Some((labels, dependent.share?))
            })
        }),
    )?;
    encoder.write(
        &DEPENDENT_CONNECTIONS,
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.connections)),
    )?;
    encoder.write(
        &UNNAMED_CALLERS,
        snapshot.points.iter().flat_map(|row| {
            let callers = row.unnamed.iter();
            callers.map(|(found, n)| (with(point_labels(row), [("caller", found.label())]), *n))
        }),
    )?;
    encoder.write(
        &DEPENDENT_OPEN,
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.active)),
    )?;
    encoder.write(&DEPENDENT_OPEN_BY_AGE, ages(snapshot))?;
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

fn names(labels: Names, who: &Workload) -> impl Iterator<Item = (&'static str, &str)> {
    let values = [who.namespace.as_str(), who.name.as_str(), who.principal.as_str()];
    labels.iter().map(|label| label.name).zip(values)
}

fn active<'a>(snapshot: &'a Snapshot, of: Of, labels: Names) -> impl Iterator<Item = (Labels<'a>, bool)> {
    snapshot.points.iter().flat_map(move |row| {
        let rows = of(row).rows.iter();
        rows.map(move |endpoint| {
            let endpoint = &endpoint.row;
            (with(point_labels(row), names(labels, &endpoint.key)), endpoint.active)
        })
    })
}

/// The ages of open connections of the dependents with the most, and the sums of the others.
fn ages(snapshot: &Snapshot) -> impl Iterator<Item = (Labels<'_>, u64)> {
    let all = local(snapshot).flat_map(|row| by_workload(point_labels(row), SOURCE, &row.ages));
    all.flat_map(|(labels, ages)| lifetimes::by_age(labels, &ages))
}

/// A row for each workload that is shown, and for the sums of the others under their label values.
pub(super) fn by_workload<'a, const N: usize>(
    of: Labels<'a>,
    labels: Names,
    busiest: &'a Busiest<N>,
) -> impl Iterator<Item = (Labels<'a>, [u64; N])> {
    let point = of.clone();
    let named = busiest
        .named
        .iter()
        .map(move |(who, n)| (with(point.clone(), names(labels, who)), *n));
    let rest = busiest.rest.iter().map(move |(name, n)| {
        let all = labels.iter().map(|label| (label.name, *name));
        (with(of.clone(), all), *n)
    });
    named.chain(rest)
}

/// The shares of all workloads: those in detail, and the sums of the others under their label values.
fn shares<'a>(snapshot: &'a Snapshot, of: Of, labels: Names) -> impl Iterator<Item = (Labels<'a>, &'a Share)> {
    snapshot.points.iter().flat_map(move |row| {
        let endpoints = of(row);
        let detail = endpoints.rows.iter().map(move |endpoint| {
            let endpoint = &endpoint.row;
            (with(point_labels(row), names(labels, &endpoint.key)), &endpoint.tally)
        });
        let rest = endpoints.rest.iter();
        let rest = rest.map(move |(name, share)| {
            let all = labels.iter().map(|label| (label.name, *name));
            (with(point_labels(row), all), share)
        });
        detail.chain(rest)
    })
}
