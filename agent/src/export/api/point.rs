//! A point, as in the list.

use super::{
    super::{rates::PointRates, snapshot::Snapshot},
    endpoints::point_name,
    saturation::{missing, risk, saturation},
    trouble::trouble,
};
use crate::{
    api::{
        BySide, ControlPlaneLink, Counts, Delays, DrainState, Failures, Load, Point, ReasonCount, SideLoad, Vantage,
    },
    clock,
    model::{self, CalledPoint, Link, Side, rows::PointRow},
    program::Offer,
    signals::delays,
};
use agent_common::Reason;

/// What the list has of a point.
pub fn point(snapshot: &Snapshot, offer: &Offer, row: &PointRow) -> Point {
    let load = &row.load;
    let rates = snapshot.rates.points.get(&load.point);
    let saturation = saturation(snapshot, offer, row);
    let mut point = Point {
        name: point_name(&load.point),
        node: None,
        local: load.local,
        shared: load.point.kind.is_shared(),
        processes: load.processes,
        trouble: Default::default(),
        choke_risk: risk(snapshot, row, &saturation),
        saturation,
        load: load.local.then(|| Load {
            downstream: side(&load.downstream, rates, 1),
            upstream: side(&load.upstream, rates, 0),
        }),
        failures: failures(snapshot, row, rates),
        delays: load.local.then(|| waits(snapshot, rates)),
        dependents: counts(row.window.dependents),
        served: counts(row.window.served),
        drain: drain(snapshot, row),
        control_plane: row.links.iter().map(link).collect(),
        views: Vec::new(),
        views_total: 0,
    };
    point.trouble = trouble(&point, row, rates);
    point
}

fn side(side: &Side, rates: Option<&PointRates>, at: usize) -> SideLoad {
    SideLoad {
        open_connections: side.active,
        opened_total: side.opened,
        opened_per_second: rates.map(|rates| rates.opened[at]),
        closed_total: side.closed,
        received_bytes_total: side.received,
        received_bytes_per_second: rates.map(|rates| rates.received[at]),
        sent_bytes_total: side.sent,
        sent_bytes_per_second: rates.map(|rates| rates.sent[at]),
        retransmitted_segments_total: side.retransmits,
    }
}

fn failures(snapshot: &Snapshot, row: &PointRow, rates: Option<&PointRates>) -> Failures {
    let name = CalledPoint::from(&*row.load.point);
    let called = snapshot.called.iter().find(|(called, _)| *called == name);
    let own =
        |side: &str, of: &Side, at: usize| by_reason(Some(side), &of.failures, rates.map(|rates| &rates.failures[at]));
    let both = [
        own("downstream", &row.load.downstream, 1),
        own("upstream", &row.load.upstream, 0),
    ]
    .concat();
    Failures {
        point: row
            .load
            .local
            .then(|| vantage(both, rates.map(|rates| rates.opened.iter().sum()))),
        callers: called.map(|(_, called)| {
            let reasons = by_reason(None, &called.failures, rates.map(|rates| &rates.caller_failures));
            vantage(reasons, rates.map(|rates| rates.caller_opened))
        }),
    }
}

fn vantage(by_reason: Vec<ReasonCount>, opened_per_second: Option<f64>) -> Vantage {
    // The sum of no numbers would be -0.
    let rates = by_reason.iter().filter_map(|reason| reason.failures_per_second);
    let rate: f64 = rates.fold(0.0, |sum, rate| sum + rate);
    Vantage {
        failures_total: by_reason.iter().map(|reason| reason.failures_total).sum(),
        failures_per_second: opened_per_second.map(|_| rate),
        opened_per_second,
        by_reason,
    }
}

fn by_reason(
    side: Option<&str>,
    failures: &[u64; Reason::COUNT],
    rates: Option<&[f64; Reason::COUNT]>,
) -> Vec<ReasonCount> {
    let all = Reason::ALL.into_iter().zip(failures).filter(|(_, n)| **n > 0);
    let reasons = all.map(|(reason, n)| ReasonCount {
        side: side.map(str::to_owned),
        reason: reason.label().to_owned(),
        phase: reason.phase().to_owned(),
        failures_total: *n,
        failures_per_second: rates.map(|rates| rates[reason as usize]),
    });
    reasons.collect()
}

fn waits(snapshot: &Snapshot, rates: Option<&PointRates>) -> Delays {
    let (read, forward) = rates.map(|rates| (rates.read, rates.forward)).unwrap_or_default();
    let by_side = |[upstream, downstream]: [_; 2]| BySide { downstream, upstream };
    let first = || {
        rates
            .is_none()
            .then(|| "delays are those of a tick: they are known from the second one on".to_owned())
    };
    Delays {
        read: by_side(read),
        forward: by_side(forward),
        read_missing: missing(snapshot, delays::READ_DELAY.needs).or_else(first),
        forward_missing: missing(snapshot, delays::FORWARD_DELAY.needs).or_else(first),
    }
}

const fn counts(counts: model::Counts) -> Counts {
    Counts {
        workloads: counts.workloads,
        service_accounts: counts.service_accounts,
        namespaces: counts.namespaces,
    }
}

fn drain(snapshot: &Snapshot, row: &PointRow) -> Option<DrainState> {
    let drain = snapshot.drains.iter().find(|drain| drain.point == row.load.point)?;
    Some(DrainState {
        cause: drain.cause,
        since: clock::rfc3339(drain.since),
        deadline: drain.deadline.map(clock::rfc3339),
        connections: drain.connections(),
        cut_estimate: drain.cut,
    })
}

fn link(link: &Link) -> ControlPlaneLink {
    ControlPlaneLink {
        namespace: link.namespace.clone(),
        name: link.name.clone(),
        open_connections: link.connections(),
        changed: clock::rfc3339(link.changed),
        last_received: link.received.map(clock::rfc3339),
        opened_total: link.opened,
        failures_total: link.failures.iter().sum(),
    }
}
