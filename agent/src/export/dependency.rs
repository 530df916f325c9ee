//! Who depends on points, who is reached through them, and how near they are to being everybody's problem.

use super::{
    families::{Encoder, Labels, counters, gauges},
    rows::{by_reason, local, point_labels, with},
    saturation::worst_ratio,
    snapshot::{PartyRows, PointRow, Snapshot},
};
use crate::{
    identity::Workload,
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
    gauges(
        encoder,
        "narrows_dependent_concentration_ratio",
        "How uneven the point's connections in the window are spread over its dependents: the sum of the squares of their shares \
         (Herfindahl index; 1: all are one's)",
        snapshot
            .points
            .iter()
            .filter_map(|row| Some((point_labels(row), row.window.concentration?))),
    )?;
    gauges(
        encoder,
        "narrows_traffic_share_ratio",
        "The point's share of the connections in the window that points of this node accepted",
        snapshot
            .points
            .iter()
            .filter_map(|row| Some((point_labels(row), row.window.traffic?))),
    )?;
    gauges(
        encoder,
        "narrows_choke_risk_ratio",
        "Saturation of the point's fullest resource, times the share of the workloads with traffic on this node that depend on it",
        local(snapshot).filter_map(|row| {
            let risk = saturation::choke_risk(
                worst_ratio(snapshot, &row.load)?,
                row.window.dependents.workloads,
                snapshot.workloads,
            );
            Some((point_labels(row), risk?))
        }),
    )?;
    gauges(
        encoder,
        "narrows_active_workloads",
        "Workloads with traffic in the window, at either end of a connection that this node has seen",
        std::iter::once((vec![], snapshot.workloads as f64)),
    )
}

fn dependents(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    const OF: Of = |row| &row.dependents;
    gauges(
        encoder,
        "narrows_dependents",
        "Distinct workloads, service accounts or namespaces with traffic through the point in the window, or connections open",
        snapshot
            .points
            .iter()
            .flat_map(|row| counts(row, row.window.dependents)),
    )?;
    gauges(
        encoder,
        "narrows_dependents_untracked",
        "Dependents in the window that have no series of their own, because there are too many",
        snapshot
            .points
            .iter()
            .map(|row| (point_labels(row), row.dependents.untracked as f64)),
    )?;
    gauges(
        encoder,
        "narrows_dependent_active",
        "1 while the dependent has traffic through the point in the window, or connections open",
        active(snapshot, OF, SOURCE),
    )?;
    gauges(
        encoder,
        "narrows_dependent_share_ratio",
        "Share of the dependent's connections in the window that pass the point (1: no other way out); connections, not requests. \
         Only where the dependent runs",
        snapshot.points.iter().flat_map(|row| {
            let known = row.dependents.rows.iter().zip(&row.shares);
            known
                .filter(|(party, _)| party.active)
                .filter_map(|(party, share)| Some((with(point_labels(row), names(SOURCE, &party.key)), (*share)?)))
        }),
    )?;
    counters(
        encoder,
        "narrows_dependent_connections",
        "TCP connections that the point accepted from the dependent",
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.connections)),
    )?;
    gauges(
        encoder,
        "narrows_dependent_open_connections",
        "Those of them that are open now",
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.active as f64)),
    )?;
    counters(
        encoder,
        "narrows_dependent_bytes",
        "Payload bytes of these connections, both ways",
        shares(snapshot, OF, SOURCE).map(|(labels, share)| (labels, share.bytes)),
    )?;
    counters(
        encoder,
        "narrows_dependent_failures",
        "TCP connections of the dependent that failed at the point, by how",
        shares(snapshot, OF, SOURCE).flat_map(|(labels, share)| by_reason(labels, &share.failures)),
    )
}

fn served(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    const OF: Of = |row| &row.served;
    gauges(
        encoder,
        "narrows_served",
        "Distinct workloads, service accounts or namespaces that are reached through the point, in the window or by open connections",
        local(snapshot).flat_map(|row| counts(row, row.window.served)),
    )?;
    gauges(
        encoder,
        "narrows_served_untracked",
        "Served workloads in the window that have no series of their own, because there are too many",
        local(snapshot).map(|row| (point_labels(row), row.served.untracked as f64)),
    )?;
    gauges(
        encoder,
        "narrows_served_active",
        "1 while the workload is reached through the point in the window, or by open connections",
        active(snapshot, OF, DESTINATION),
    )?;
    counters(
        encoder,
        "narrows_served_connections",
        "TCP connections that the point opened to the workload",
        shares(snapshot, OF, DESTINATION).map(|(labels, share)| (labels, share.connections)),
    )?;
    gauges(
        encoder,
        "narrows_served_open_connections",
        "Those of them that are open now",
        shares(snapshot, OF, DESTINATION).map(|(labels, share)| (labels, share.active as f64)),
    )?;
    counters(
        encoder,
        "narrows_served_failures",
        "TCP connections of the point to the workload that failed, by how",
        shares(snapshot, OF, DESTINATION).flat_map(|(labels, share)| by_reason(labels, &share.failures)),
    )
}

fn counts(row: &PointRow, counts: Counts) -> [(Labels<'_>, f64); 3] {
    [
        ("workload", counts.workloads),
        ("service_account", counts.service_accounts),
        ("namespace", counts.namespaces),
    ]
    .map(|(scope, n)| (with(point_labels(row), [("scope", scope)]), n as f64))
}

fn names(names: Names, who: &Workload) -> [(&'static str, &str); 3] {
    let [namespace, name, principal] = names;
    [
        (namespace, who.namespace.as_str()),
        (name, who.name.as_str()),
        (principal, who.principal.as_str()),
    ]
}

fn active<'a>(snapshot: &'a Snapshot, of: Of, labels: Names) -> impl Iterator<Item = (Labels<'a>, f64)> {
    snapshot.points.iter().flat_map(move |row| {
        let rows = of(row).rows.iter();
        rows.map(move |party| {
            (
                with(point_labels(row), names(labels, &party.key)),
                f64::from(u8::from(party.active)),
            )
        })
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
