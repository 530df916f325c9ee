//! How full resources are, and why it is not known where it is not.

use super::super::{saturation::ratios, snapshot::Snapshot};
use crate::{
    api::{ChokeRisk, Resource, Saturation},
    metrics::load::QUEUE,
    model::{rows::PointRow, saturation::choke_risk},
    program::{Need, Offer},
    signals::sockets,
};

/// Why nothing is known of the resources of a point that runs elsewhere.
pub const ELSEWHERE: &str = "the point does not run on this node: ask the agent of its node";

/// The saturation of a point's resources.
pub fn saturation(snapshot: &Snapshot, offer: &Offer, row: &PointRow) -> Saturation {
    let resources = ratios(offer, &row.load).map(|(resource, ratio)| {
        let ratio = ratio.filter(|_| row.load.local);
        Resource {
            resource: resource.to_owned(),
            ratio,
            missing: ratio.is_none().then(|| why(snapshot, row, resource)),
        }
    });
    let known = resources
        .iter()
        .filter_map(|resource| Some((resource.ratio?, &resource.resource)));
    let worst = known.max_by(|one, other| one.0.total_cmp(&other.0));
    Saturation {
        worst_ratio: worst.map(|(ratio, _)| ratio),
        worst_resource: worst.map(|(_, resource)| resource.clone()),
        resources: resources.into(),
    }
}

/// How close a point is to being a single point of failure under load.
pub fn risk(snapshot: &Snapshot, row: &PointRow, saturation: &Saturation) -> ChokeRisk {
    let (dependents, workloads) = (row.window.dependents.workloads, snapshot.model.workloads);
    let ratio = saturation
        .worst_ratio
        .and_then(|worst| choke_risk(worst, dependents, workloads));
    let missing = match (ratio, row.load.local, saturation.worst_ratio) {
        (Some(_), ..) => None,
        (_, false, _) => Some(ELSEWHERE),
        (.., None) => Some("the saturation of no resource is known"),
        _ => Some("no workload on this node has traffic"),
    };
    ChokeRisk {
        ratio,
        missing: missing.map(str::to_owned),
        dependents_ratio: choke_risk(1.0, dependents, workloads),
    }
}

fn why(snapshot: &Snapshot, row: &PointRow, resource: &str) -> String {
    if !row.load.local {
        return ELSEWHERE.to_owned();
    }
    if row.load.processes == 0 {
        return "no process of it runs".to_owned();
    }
    let off = match resource {
        "cpu" => signal_off(snapshot, "cpu_throttling"),
        "memory" => signal_off(snapshot, "memory_limit"),
        "open_files" => signal_off(snapshot, "open_files"),
        "accept_queue" => missing(snapshot, QUEUE.needs),
        "backlog" => missing(snapshot, sockets::UNREAD_NEEDS),
        _ => missing(snapshot, sockets::PORTS_NEEDS),
    };
    off.unwrap_or_else(|| {
        match resource {
            "cpu" => "it is known from the second tick of the point on",
            "memory" => "neither a limit nor the point's own memory could be read",
            "open_files" => "the open files of no process of it could be counted",
            "accept_queue" => "nothing listens",
            _ => "the range of local ports of its network namespace could not be read",
        }
        .to_owned()
    })
}

fn signal_off(snapshot: &Snapshot, name: &str) -> Option<String> {
    let mut found = snapshot
        .signals
        .iter()
        .filter(|signal| signal.name == name && !signal.active);
    let signal = found.next()?;
    let reason = signal.reason.as_deref().unwrap_or("of unknown cause");
    Some(format!("signal {name} is off: {reason}"))
}

/// What of these needs this kernel does not meet, and why; `None` when it meets all.
pub fn missing(snapshot: &Snapshot, needs: &[Need]) -> Option<String> {
    let offer = snapshot.offer();
    let need = needs.iter().find(|need| !offer.has(need))?;
    let of_unknown_cause = || "it is not there".to_owned();
    Some(match need {
        Need::Program(program) => {
            let mut all = snapshot.kernel.programs.iter();
            let status = all.find(|status| status.program == program.name);
            let reason = status
                .and_then(|status| status.reason.clone())
                .unwrap_or_else(of_unknown_cause);
            format!("kernel program {} is off: {reason}", program.name)
        }
        Need::Field(field) => {
            let mut all = snapshot.kernel.fields.iter();
            let status = all.find(|status| status.place == *field);
            let name = status.map_or("unknown", |status| status.field.as_str());
            let reason = status
                .and_then(|status| status.reason.clone())
                .unwrap_or_else(of_unknown_cause);
            format!("kernel field {name} is not known: {reason}")
        }
        _ => of_unknown_cause(),
    })
}
