//! What is wrong with a point. The limits are those of the alerts in `deploy/prometheus` where there is one, without their waiting: this
//! is for somebody who looks now.

use super::super::rates::PointRates;
use crate::{
    api::{Delay, DrainState, Point, Severity, Trouble, TroubleReason, Vantage},
    model::rows::PointRow,
    several::several,
};
use agent_common::Reason;

/// Failures per second below which a share of failures says little: one in a tick.
const FEW: f64 = 0.5;

/// What is wrong with a point, of which everything else is filled in.
pub fn trouble(point: &Point, row: &PointRow, rates: Option<&PointRates>) -> Trouble {
    let mut reasons: Vec<TroubleReason> = Vec::new();
    reasons.extend(not_running(point));
    reasons.extend(saturated(point));
    reasons.extend(failing(point, rates));
    reasons.extend(queue_drops(rates));
    reasons.extend(slow(point));
    reasons.extend(busy_thread(row));
    reasons.extend(detached(point));
    reasons.extend(point.drain.as_ref().map(to_go));
    reasons.sort_by(|one, other| other.score.total_cmp(&one.score));
    Trouble {
        score: 1.0 - reasons.iter().map(|reason| 1.0 - reason.score).product::<f64>(),
        severity: reasons.iter().map(|reason| reason.severity).max().unwrap_or_default(),
        reasons,
    }
}

/// `extent` from 0 to 1 orders reasons of one severity.
fn reason(what: &str, severity: Severity, extent: f64, text: String) -> TroubleReason {
    let base = match severity {
        Severity::Ok => 0.0,
        Severity::Notice => 0.1,
        Severity::Warning => 0.4,
        Severity::Critical => 0.7,
    };
    TroubleReason {
        what: what.to_owned(),
        severity,
        score: base + 0.25 * extent.clamp(0.0, 1.0),
        text,
    }
}

fn not_running(point: &Point) -> Option<TroubleReason> {
    (point.local && point.processes == 0).then(|| gone(point.dependents.workloads))
}

/// What it means that no process of a point runs, for so many dependents.
fn gone(dependents: usize) -> TroubleReason {
    let severity = if dependents > 0 {
        Severity::Critical
    } else {
        Severity::Notice
    };
    let dependents = several(dependents, "workload", "workloads");
    let text = format!("no process of it runs on this node, and {dependents} depended on it in the window");
    reason("not_running", severity, 1.0, text)
}

fn saturated(point: &Point) -> impl Iterator<Item = TroubleReason> {
    let open = point.load.as_ref().map_or(0, |load| {
        load.downstream.open_connections + load.upstream.open_connections
    });
    let failing = [&point.failures.point, &point.failures.callers]
        .into_iter()
        .flatten()
        .any(|vantage| share(vantage).is_some_and(|share| share > 0.05) && vantage.failures_per_second > Some(FEW));
    point.saturation.resources.iter().filter_map(move |resource| {
        let (ratio, name) = (resource.ratio?, resource.resource.as_str());
        let severity = match name {
            "cpu" if ratio > 0.85 && failing => Severity::Critical,
            "memory" if ratio > 0.95 || ratio > 0.85 && failing => Severity::Critical,
            "cpu" | "memory" if ratio > 0.85 => Severity::Warning,
            "backlog" if ratio > 0.85 && open < 10 => Severity::Notice,
            "accept_queue" | "open_files" | "ephemeral_ports" | "backlog" if ratio > 0.85 => Severity::Critical,
            _ if ratio > 0.7 => Severity::Notice,
            _ => return None,
        };
        let name = name.replace('_', " ");
        let text = format!("{name} is {:.0} % full", ratio * 100.0);
        Some(reason("saturation", severity, ratio, text))
    })
}

/// The share of the attempts and connections at a vantage that failed, over the last tick.
fn share(vantage: &Vantage) -> Option<f64> {
    share_of(vantage.failures_per_second?, vantage.opened_per_second?)
}

fn share_of(failures: f64, opened: f64) -> Option<f64> {
    // A failed handshake is none of those that completed, but a reset connection is: approximate.
    (failures > 0.0).then(|| failures / (failures + opened))
}

fn failing(point: &Point, rates: Option<&PointRates>) -> impl Iterator<Item = TroubleReason> {
    let callers = point.failures.callers.as_ref();
    let callers = callers.and_then(|vantage| {
        let (failures, opened) = (vantage.failures_per_second?, vantage.opened_per_second?);
        fails("caller_failures", "of its callers' connections to it", failures, opened)
    });
    let own = |at: usize, what, whose| {
        let rates = rates.filter(|_| point.local)?;
        let harmful = |(reason, rate): (Reason, &f64)| if reason == Reason::Cancelled { 0.0 } else { *rate };
        let failures = Reason::ALL.into_iter().zip(&rates.failures[at]).map(harmful).sum();
        fails(what, whose, failures, rates.opened[at])
    };
    let downstream = own(1, "downstream_failures", "of the connections that it accepts");
    let upstream = own(0, "upstream_failures", "of the connections that it opens");
    [callers, downstream, upstream].into_iter().flatten()
}

fn fails(what: &str, whose: &str, failures: f64, opened: f64) -> Option<TroubleReason> {
    let share = share_of(failures, opened)?;
    let severity = match share {
        share if share > 0.05 && failures > FEW => Severity::Critical,
        share if share > 0.01 => Severity::Warning,
        _ => Severity::Notice,
    };
    // What fails is never none of them.
    let part = match share * 100.0 {
        percent if percent < 0.1 => "less than 0.1".to_owned(),
        percent => format!("{percent:.1}"),
    };
    let text = format!("{part} % {whose} fail: {failures:.1} a second");
    Some(reason(what, severity, share, text))
}

fn queue_drops(rates: Option<&PointRates>) -> Option<TroubleReason> {
    let drops = rates?.queue_drops;
    let text = format!("its accept queues drop {drops:.1} handshakes a second");
    (drops > 0.0).then(|| reason("accept_queue_drops", Severity::Critical, drops / 10.0, text))
}

fn slow(point: &Point) -> impl Iterator<Item = TroubleReason> {
    let delays = point.delays.as_ref();
    let worst = |sides: [&Delay; 2]| sides.into_iter().filter_map(|delay| delay.p99_seconds).reduce(f64::max);
    let read = delays.and_then(|delays| worst([&delays.read.downstream, &delays.read.upstream]));
    let forward = delays.and_then(|delays| worst([&delays.forward.downstream, &delays.forward.upstream]));
    [
        ("read_delay", "is read", read),
        ("forward_delay", "that was read is forwarded", forward),
    ]
    .into_iter()
    .filter_map(|(what, until, seconds)| {
        let seconds = seconds?;
        let severity = match seconds {
            seconds if seconds >= 1.0 => Severity::Critical,
            seconds if seconds >= 0.1 => Severity::Warning,
            _ => return None,
        };
        let text = format!("1 % of data waits for {seconds:.2} s or longer until it {until} (approximate)");
        let text = text.replace("it that was read is", "what was read is");
        Some(reason(what, severity, seconds / 10.0, text))
    })
}

fn busy_thread(row: &PointRow) -> Option<TroubleReason> {
    let (busiest, _) = row.load.inside.skew.cpu?;
    let text = format!(
        "its busiest thread uses {:.0} % of a CPU: its connections wait, however idle others are",
        busiest * 100.0
    );
    (busiest > 0.95).then(|| reason("busy_thread", Severity::Warning, busiest, text))
}

fn detached(point: &Point) -> Option<TroubleReason> {
    let links = &point.control_plane;
    if links.is_empty() || links.iter().any(|link| link.open_connections > 0) {
        return None;
    }
    let since = links.iter().map(|link| link.changed.as_str()).max().unwrap_or_default();
    let text =
        format!("it has no connection to its control plane since {since}: its configuration and certificates age");
    Some(reason("control_plane", Severity::Warning, 0.5, text))
}

fn to_go(drain: &DrainState) -> TroubleReason {
    let (cause, connections) = (drain.cause.label(), drain.connections as usize);
    match drain.cut_estimate {
        Some(cut) if cut >= 1.0 => {
            let connections = several(connections, "connection", "connections");
            let text =
                format!("it is to go ({cause}), and the end of its grace will cut about {cut:.0} of {connections}");
            reason("drain", Severity::Warning, cut / 100.0, text)
        }
        _ => {
            let hang = several(connections, "connection hangs", "connections hang");
            let text = format!("it is to go ({cause}); {hang} on it");
            reason("drain", Severity::Notice, 0.5, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DrainCause;

    #[test]
    fn one_is_not_several() {
        for (dependents, expected) in [
            (0, "and 0 workloads depended"),
            (1, "and 1 workload depended"),
            (2, "and 2 workloads depended"),
        ] {
            let text = gone(dependents).text;
            assert!(text.contains(expected), "{text}");
        }
        for (connections, cut_estimate, expected) in [
            (1, None, "1 connection hangs on it"),
            (2, Some(0.5), "2 connections hang on it"),
            (1, Some(1.0), "will cut about 1 of 1 connection"),
            (412, Some(17.0), "will cut about 17 of 412 connections"),
        ] {
            let drain = DrainState {
                cause: DrainCause::Superseded,
                since: "2026-11-26T12:00:00Z".to_owned(),
                deadline: None,
                connections,
                cut_estimate,
            };
            let text = to_go(&drain).text;
            assert!(text.ends_with(expected), "{text}");
        }
    }

    #[test]
    fn a_small_share_of_failures_is_not_none() {
        let text = |failures, opened| {
            fails("caller_failures", "of its connections", failures, opened).map(|reason| reason.text)
        };
        let rare = "less than 0.1 % of its connections fail: 1.0 a second";
        assert_eq!(text(1.0, 5000.0).as_deref(), Some(rare));
        let some = "1.0 % of its connections fail: 1.0 a second";
        assert_eq!(text(1.0, 99.0).as_deref(), Some(some));
        assert_eq!(text(0.0, 99.0), None);
    }
}
