//! Conclusions from the evidence: a function without I/O, deterministic.

use super::{evidence::Evidence, point::Point};
use crate::cli::name::Name;
use crate::{
    points::{FailureDomain, Kind},
    several::several,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A share of at least this counts as 1: one connection in a hundred may be a single attempt to another address.
pub const ALL: f64 = 0.99;

/// The number of points for which the consequences of a failure are listed.
const WHAT_IF: usize = 5;

/// The rank of a point, and the figures that it results from.
#[derive(Clone, Debug, Serialize)]
pub struct Rank {
    /// The name of the point; of a node's proxy, with the node.
    pub point: Name,
    /// The kind of the point.
    pub kind: String,
    /// The number of workloads that depend on it.
    pub dependents: u64,
    /// The number of dependents without another way out; `None` where no share is known.
    pub without_another_way: Option<u64>,
    /// The number of workloads that are reached through it.
    pub served: u64,
    /// The highest saturation of its resources; `None` where it is not known.
    pub saturation: Option<f64>,
    /// The name of that resource.
    pub resource: Option<String>,
    /// The number of instances; `None` where it was observed by callers only.
    pub instances: Option<u64>,
    /// The number of nodes with an instance; `None` as above.
    pub nodes: Option<u64>,
    /// Missing redundancy: 1 / nodes with an instance, so 1 when the loss of one node stops the point.
    pub missing_redundancy: f64,
    /// The product of the factors; `None` where one is not known.
    pub score: Option<f64>,
    /// The share of attempts that failed, as observed by its own sockets.
    pub failures_own: Option<f64>,
    /// The same, as observed by its callers.
    pub failures_callers: Option<f64>,
}

/// The consequences of a point's failure.
#[derive(Clone, Debug, Serialize)]
pub struct WhatIf {
    /// The point that fails.
    pub point: Name,
    /// Callers without another way out.
    pub cut_off: Vec<Name>,
    /// Callers that lose a part of their connections, with the share.
    pub impaired: Vec<(Name, f64)>,
    /// Callers whose share is not known.
    pub unknown: Vec<Name>,
    /// Workloads that were reached through this point only.
    pub unreachable: Vec<Name>,
}

/// What a shared point carries, beside what it lets in by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Scope {
    /// The name of the point; of a node's proxy, with the node.
    pub point: Name,
    /// The kind of the point.
    pub kind: String,
    /// The number of identities that called through it.
    pub identities: u64,
    /// The number of namespaces whose workloads called through it.
    pub namespaces: u64,
    /// The number of callers beyond the bound, whose identities are not among these; a lower bound.
    pub untracked: u64,
    /// The number of workloads that were reached through it.
    pub destinations: u64,
    /// What a zone proxy accepts by itself, and how much of that is used, as a sentence; `None` for other points.
    pub accepts: Option<String>,
}

/// All findings of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The points that each workload's connections pass, in and out.
    pub policy: BTreeMap<Name, Policy>,
    /// Shared points, the most critical first.
    pub ranking: Vec<Rank>,
    /// The consequences of a failure of each of the first points of the ranking.
    pub what_if: Vec<WhatIf>,
    /// What each shared point carries, the one with the most identities first.
    pub scope: Vec<Scope>,
    /// Workloads whose pods take part in the mesh in different ways.
    pub mixed: Vec<Name>,
    /// The share of connection ends that are identified.
    pub attributed: Option<f64>,
    /// Of the connections that workloads accepted, the share that a point carried.
    pub enforced: Option<f64>,
}

/// Where policy is enforced for a workload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Policy {
    /// How it takes part in its mesh; empty where none of its pods was observed.
    pub modes: BTreeSet<String>,
    /// Points that its outgoing connections pass, with the share of its connections.
    pub out: BTreeMap<Name, Option<f64>>,
    /// Points that connections to it pass.
    pub into: BTreeSet<Name>,
}

impl Findings {
    /// Derives the findings from the evidence.
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
            scope: scopes(evidence),
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
    // Of which node a workload's pods are is not the question here.
    for it in evidence.points.values() {
        for (name, share) in &it.dependents {
            let known = all
                .entry(name.clone())
                .or_default()
                .out
                .entry(it.point.clone())
                .or_insert(*share);
            // The lowest share counts, as between the nodes of a point that is one domain.
            *known = match (*known, *share) {
                (Some(known), Some(share)) => Some(known.min(share)),
                (known, share) => known.or(share),
            };
        }
        for name in &it.served {
            all.entry(name.clone()).or_default().into.insert(it.point.clone());
        }
    }
    all
}

/// Whether a node or a workload has exactly one of these proxies, so that other instances cannot replace it.
fn is_alone_by_nature(kind: &str) -> bool {
    let kind = Kind::of_label(kind);
    kind == Some(Kind::Sidecar) || kind.map(Kind::failure_domain) == Some(FailureDomain::Node)
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
    // An unknown score is sorted after known ones, but before 0, as it may have any value.
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
    // Reached otherwise: through another point of the same kind, or by a caller without any point. A ztunnel or sidecar in addition
    // to the point is on the same way, and is not another one.
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

/// What a zone proxy accepts by itself, beside what uses that: a zone egress every workload of the mesh in its zone, and a zone ingress,
/// which does not terminate TLS, everyone who reaches it. Whether a policy says otherwise is in no object that the agents read.
fn accepts(point: &Point, identities: usize, namespaces: usize) -> Option<String> {
    let (what, unless) = match Kind::of_label(&point.kind)? {
        Kind::ZoneEgress => ("anything from this zone", ", unless a MeshTrafficPermission targets it"),
        Kind::ZoneIngress => ("anything for this zone", ", as it does not terminate TLS"),
        _ => return None,
    };
    Some(format!(
        "{} {} accepts {what} ({} of {} {} it){unless}.",
        point.kind,
        point.point,
        several(identities, "identity", "identities"),
        several(namespaces, "namespace", "namespaces"),
        if identities == 1 { "uses" } else { "use" },
    ))
}

fn scopes(evidence: &Evidence) -> Vec<Scope> {
    let of_a_zone = |point: &Point| matches!(Kind::of_label(&point.kind), Some(Kind::ZoneEgress | Kind::ZoneIngress));
    let shared = (evidence.points.iter()).filter(|(_, point)| is_shared(point) || of_a_zone(point));
    let mut all: Vec<_> = shared
        .map(|(name, point)| {
            let names = point.dependents.keys();
            let namespaces: BTreeSet<_> = names.filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
            let (identities, namespaces) = (point.principals.len(), namespaces.len());
            Scope {
                point: name.clone(),
                kind: point.kind.clone(),
                identities: identities as u64,
                namespaces: namespaces as u64,
                untracked: point.untracked,
                destinations: point.served.len() as u64,
                accepts: accepts(point, identities, namespaces),
            }
        })
        .collect();
    all.sort_by(|a, b| b.identities.cmp(&a.identities).then_with(|| a.point.cmp(&b.point)));
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
