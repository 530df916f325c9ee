//! What follows from the evidence. Pure, and the same for the same evidence.

use super::evidence::{Evidence, Name, Point};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A share of at least this is all of it: a connection in a hundred may be one to an address that was tried once.
const ALL: f64 = 0.99;

/// Points whose failure is worked out.
const WHAT_IF: usize = 5;

/// How a point stands among all.
#[derive(Clone, Debug, Serialize)]
pub struct Rank {
    /// Which.
    pub point: Name,
    /// What it is.
    pub kind: String,
    /// Who depends on it.
    pub dependents: u64,
    /// Those without another way out; `None` where no share is known.
    pub without_another_way: Option<u64>,
    /// Who is reached through it.
    pub served: u64,
    /// How full its fullest resource was; `None` where nothing is known.
    pub saturation: Option<f64>,
    /// Which one.
    pub resource: Option<String>,
    /// Instances, and the nodes they are on; `None` where it was seen by callers only.
    pub instances: Option<u64>,
    /// The nodes.
    pub nodes: Option<u64>,
    /// What is missing of redundancy: 1 when one node takes all of it away.
    pub missing_redundancy: f64,
    /// The product; `None` where a factor is not known.
    pub score: Option<f64>,
    /// Of what was tried, the share that failed, as its own sockets show it.
    pub failures_own: Option<f64>,
    /// The same as its callers show it.
    pub failures_callers: Option<f64>,
}

/// What happens when a point fails.
#[derive(Clone, Debug, Serialize)]
pub struct WhatIf {
    /// The point.
    pub point: Name,
    /// Callers without another way out.
    pub cut_off: Vec<Name>,
    /// Callers that lose a part of their connections: which share.
    pub impaired: Vec<(Name, f64)>,
    /// Callers of whom the share is not known.
    pub unknown: Vec<Name>,
    /// Workloads that nothing else was seen to reach.
    pub unreachable: Vec<Name>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Which points a workload's connections pass, in and out.
    pub policy: BTreeMap<Name, Policy>,
    /// Shared points, the most critical first.
    pub ranking: Vec<Rank>,
    /// The first of them.
    pub what_if: Vec<WhatIf>,
    /// Workloads whose pods take part in the mesh in different ways.
    pub mixed: Vec<Name>,
    /// Of the ends of connections, the share with a name.
    pub attributed: Option<f64>,
    /// Of the connections that workloads accepted, the share that a point carried.
    pub enforced: Option<f64>,
}

/// Where a workload's policy is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Policy {
    /// How it takes part in its mesh; empty where none of its pods was seen.
    pub modes: BTreeSet<String>,
    /// Points on its way out, with the share of its connections.
    pub out: BTreeMap<Name, Option<f64>>,
    /// Points on the way to it.
    pub into: BTreeSet<Name>,
}

impl Findings {
    /// Concludes.
    pub fn of(evidence: &Evidence) -> Self {
        let ranking = ranking(evidence);
        let first = ranking.iter().take(WHAT_IF);
        let total: f64 = evidence.attributed.values().sum();
        let unknown = evidence.attributed.get("unknown").copied().unwrap_or_default();
        let accepted: f64 = evidence.enforced.values().sum();
        let by_none = evidence.enforced.get("none").copied().unwrap_or_default();
        Self {
            policy: policy(evidence),
            what_if: first.map(|rank| what_if(evidence, &rank.point)).collect(),
            ranking,
            mixed: mixed(evidence),
            attributed: (total > 0.0).then(|| 1.0 - unknown / total),
            enforced: (accepted > 0.0).then(|| 1.0 - by_none / accepted),
        }
    }
}

fn policy(evidence: &Evidence) -> BTreeMap<Name, Policy> {
    let mut all: BTreeMap<Name, Policy> = BTreeMap::new();
    for (name, modes) in &evidence.modes {
        all.entry(name.clone()).or_default().modes.clone_from(modes);
    }
    for (point, it) in &evidence.points {
        for (name, share) in &it.dependents {
            all.entry(name.clone()).or_default().out.insert(point.clone(), *share);
        }
        for name in &it.served {
            all.entry(name.clone()).or_default().into.insert(point.clone());
        }
    }
    all
}

/// Proxies that a node or a workload has one of: another instance is no help to who uses this one.
fn is_alone_by_nature(kind: &str) -> bool {
    matches!(kind, "ztunnel" | "node_proxy" | "sidecar")
}

/// Points that more than one workload depends on, or is reached through.
fn is_shared(point: &Point) -> bool {
    point.kind != "sidecar" && (point.dependents.len() as u64 + point.untracked > 1 || point.served.len() > 1)
}

fn rank(name: &Name, point: &Point) -> Rank {
    let known: Vec<f64> = point.dependents.values().flatten().copied().collect();
    let without = (!known.is_empty()).then(|| known.iter().filter(|share| **share >= ALL).count() as u64);
    let nodes = (!point.nodes.is_empty()).then_some(point.nodes.len() as u64);
    let missing_redundancy = match nodes {
        _ if is_alone_by_nature(&point.kind) => 1.0,
        Some(nodes) => 1.0 / nodes as f64,
        None => 1.0,
    };
    let saturation = point.saturation.as_ref().map(|(most, _)| *most);
    let score = without.zip(saturation);
    Rank {
        point: name.clone(),
        kind: point.kind.clone(),
        dependents: point.dependents.len() as u64 + point.untracked,
        without_another_way: without,
        served: point.served.len() as u64,
        saturation,
        resource: point.saturation.as_ref().map(|(_, resource)| resource.clone()),
        instances: nodes.map(|_| point.instances.len() as u64),
        nodes,
        missing_redundancy,
        score: score.map(|(without, saturation)| without as f64 * saturation * missing_redundancy),
        failures_own: point.own.ratio(),
        failures_callers: point.callers.ratio(),
    }
}

fn ranking(evidence: &Evidence) -> Vec<Rank> {
    let shared = evidence.points.iter().filter(|(_, point)| is_shared(point));
    let mut all: Vec<Rank> = shared.map(|(name, point)| rank(name, point)).collect();
    // What is not known comes after what is, but before a known 0: it may be anything.
    let score = |rank: &Rank| rank.score.unwrap_or(f64::MIN_POSITIVE);
    all.sort_by(|a, b| {
        let without = |rank: &Rank| rank.without_another_way.unwrap_or(rank.dependents);
        (score(b).total_cmp(&score(a)))
            .then(without(b).cmp(&without(a)))
            .then(b.dependents.cmp(&a.dependents))
            .then(a.point.cmp(&b.point))
    });
    all
}

fn what_if(evidence: &Evidence, name: &Name) -> WhatIf {
    let point = &evidence.points[name];
    let mut all = WhatIf {
        point: name.clone(),
        cut_off: Vec::new(),
        impaired: Vec::new(),
        unknown: Vec::new(),
        unreachable: Vec::new(),
    };
    for (who, share) in &point.dependents {
        match share {
            Some(share) if *share >= ALL => all.cut_off.push(who.clone()),
            Some(share) => all.impaired.push((who.clone(), *share)),
            None => all.unknown.push(who.clone()),
        }
    }
    all.impaired
        .sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // Reached otherwise: through another point of the same kind, or by somebody without any point. A ztunnel or sidecar before it
    // is on the same way, and no other one.
    let others = evidence
        .points
        .iter()
        .filter(|(other, it)| *other != name && it.kind == point.kind);
    let otherwise: BTreeSet<&Name> = others.flat_map(|(_, it)| &it.served).collect();
    let unreachable = point
        .served
        .iter()
        .filter(|who| !otherwise.contains(who) && !evidence.unenforced.contains_key(*who));
    all.unreachable = unreachable.cloned().collect();
    all
}

fn mixed(evidence: &Evidence) -> Vec<Name> {
    let is_mixed = |modes: &BTreeSet<String>| {
        let has = |mode: &str| modes.contains(mode);
        has("mixed") || (has("sidecar") && (has("ambient") || has("ambient_waypoint")))
    };
    let mixed = evidence.modes.iter().filter(|(_, modes)| is_mixed(modes));
    mixed.map(|(name, _)| name.clone()).collect()
}
