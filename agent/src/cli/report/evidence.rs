//! Merges all samples into one model of points, workloads and agents. What several agents report about the same is merged.

use super::{facts, links, point::Point, verdicts::Verdicts};
use crate::{
    cli::{
        name::{Name, node, within, workload},
        prometheus::Sample,
        rehearse::Grace,
    },
    points::{FailureDomain, Kind},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of evidence and findings as JSON.
pub const VERSION: u32 = 1;

/// Connections of a pair of workloads that did not pass an expected point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bypass {
    /// The point that was expected.
    pub point: Name,
    /// The kind of that point.
    pub kind: String,
    /// The workload that called.
    pub source: Name,
    /// The workload that was called.
    pub destination: Name,
    /// The number of connections.
    pub connections: f64,
}

/// What an agent does not observe.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Agent {
    /// Whether it can be scraped; `None` where this is not known.
    pub up: Option<bool>,
    /// Kernel programs that are not attached.
    pub inactive: BTreeSet<String>,
    /// Signals that its node does not offer.
    pub signals_off: BTreeSet<String>,
    /// Lost counts, by the label `what`.
    pub lost: BTreeMap<String, f64>,
    /// Lists of the API server that are out of date or incomplete.
    pub stale: BTreeSet<String>,
}

impl Agent {
    /// Whether its data are complete.
    pub fn sees_all(&self) -> bool {
        self.up != Some(false)
            && self.inactive.is_empty()
            && self.signals_off.is_empty()
            && self.lost.is_empty()
            && self.stale.is_empty()
    }
}

/// What restarts of points cut.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rehearsals {
    /// By point: restarts with each grace, the shortest first.
    pub points: BTreeMap<Name, Vec<Grace>>,
    /// Why it is not known of all points that were asked about.
    pub why_not: Option<String>,
}

/// All that is known from the samples.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Failure domains of points by name, `<point> on <node>` for the proxy of a node.
    pub points: BTreeMap<Name, Point>,
    /// How each workload takes part in its mesh; several modes if its pods differ.
    pub modes: BTreeMap<Name, BTreeSet<String>>,
    /// Connections that workloads accepted, by the kind of point that carried them.
    pub enforced: BTreeMap<String, f64>,
    /// Connections that workloads accepted from no point, by workload.
    pub unenforced: BTreeMap<Name, f64>,
    /// Connection ends by result of identification.
    pub attributed: BTreeMap<String, f64>,
    /// Connections that bypassed points.
    pub bypasses: Vec<Bypass>,
    /// The number of nodes that are to have an agent; `None` where no agent reads it from an API server.
    #[serde(default)]
    pub nodes: Option<u64>,
    /// What follows from several series together.
    #[serde(default)]
    pub verdicts: Verdicts,
    /// What restarts of points cut.
    #[serde(default)]
    pub rehearsals: Rehearsals,
    /// Agents by scrape target; one without a name if the source is a single agent.
    pub agents: BTreeMap<String, Agent>,
}

/// Older than this, a list is stale, in seconds.
const STALE: f64 = 900.0;

/// Losses that are intended, or that happened before the agent could observe the connection.
const HARMLESS: [&str; 2] = ["failure_event_rate_limited", "unseen_connection"];

impl Evidence {
    /// Merges samples into one model.
    pub fn of(samples: &[Sample]) -> Self {
        let mut all = Self::default();
        // An agent remembers a point whose processes have ended, and Prometheus an instance that was replaced in the window.
        let instance = |sample: &Sample| {
            ["cluster", "instance", "point", "instance_pod"].map(|label| sample.label(label).to_owned())
        };
        let ended: BTreeSet<_> = (samples.iter())
            .filter(|sample| sample.series == facts::PROCESSES && sample.value == 0.0)
            .map(instance)
            .collect();
        for sample in samples {
            if sample.series != facts::ACTIVE || !ended.contains(&instance(sample)) {
                all.add(sample);
            }
        }
        all.verdicts.cut_off = links::cut_off(samples, all.verdicts.rules);
        all.bypasses.sort_by(|a, b| {
            let names = |it: &Bypass| (it.point.clone(), it.source.clone(), it.destination.clone());
            b.connections
                .total_cmp(&a.connections)
                .then_with(|| names(a).cmp(&names(b)))
        });
        all
    }

    /// Whether there is nothing to report on.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.modes.is_empty() && self.enforced.is_empty()
    }

    /// The number of connections that bypassed an expected point.
    pub fn bypassed(&self) -> f64 {
        // An empty sum is -0.
        self.bypasses.iter().map(|bypass| bypass.connections).sum::<f64>() + 0.0
    }

    fn point(&mut self, sample: &Sample) -> Option<&mut Point> {
        let name = sample.label("point");
        // `_other` and `_former` are sums, not workloads.
        if name.is_empty() || name.starts_with('_') {
            return None;
        }
        let name = within(sample, name);
        let of_a_node = Kind::of_label(sample.label("kind")).map(Kind::failure_domain) == Some(FailureDomain::Node);
        let node = if of_a_node { node(sample) } else { "" };
        let domain = match node {
            "" => name.clone(),
            node => format!("{name} on {node}"),
        };
        let point = self.points.entry(domain).or_default();
        point.point = name;
        sample.label("cluster").clone_into(&mut point.cluster);
        node.clone_into(&mut point.node);
        sample.label("kind").clone_into(&mut point.kind);
        sample.label("mesh").clone_into(&mut point.mesh);
        Some(point)
    }

    fn agent(&mut self, sample: &Sample) -> &mut Agent {
        let name = match (sample.label("node"), sample.label("instance")) {
            ("", target) | (target, "") => target.to_owned(),
            (node, target) if node == target => node.to_owned(),
            (node, target) => format!("{node} ({target})"),
        };
        self.agents.entry(name).or_default()
    }

    fn add(&mut self, sample: &Sample) {
        let value = sample.value;
        if self.verdicts.add(sample) {
            return;
        }
        match sample.series.as_str() {
            facts::UP => {
                let agent = self.agent(sample);
                agent.up = Some(value > 0.0);
            }
            facts::BUILD_INFO => {
                self.agent(sample);
            }
            // Of several clusters, the sum.
            facts::NODES => *self.nodes.get_or_insert(0) += value as u64,
            facts::PROGRAM_ACTIVE if value == 0.0 => {
                let program = sample.label("program").to_owned();
                self.agent(sample).inactive.insert(program);
            }
            facts::SIGNAL_ACTIVE if value == 0.0 => {
                let signal = sample.label("signal").to_owned();
                self.agent(sample).signals_off.insert(signal);
            }
            facts::LOST if value > 0.0 && !HARMLESS.contains(&sample.label("what")) => {
                let what = sample.label("what").to_owned();
                *self.agent(sample).lost.entry(what).or_default() += value;
            }
            facts::LIST_AGE if value > STALE => {
                let source = sample.label("source").to_owned();
                self.agent(sample).stale.insert(source);
            }
            facts::LIST_SYNCED if value == 0.0 => {
                let source = sample.label("source").to_owned();
                self.agent(sample).stale.insert(source);
            }
            facts::MODE if value > 0.0 => {
                let name = workload(sample, "workload_namespace", "workload");
                let mode = sample.label("mode").to_owned();
                self.modes.entry(name).or_default().insert(mode);
            }
            facts::ENFORCED if value > 0.0 => {
                let by = sample.label("enforced_by").to_owned();
                if by == "none" {
                    let destination = workload(sample, "destination_workload_namespace", "destination_workload");
                    *self.unenforced.entry(destination).or_default() += value;
                }
                *self.enforced.entry(by).or_default() += value;
            }
            facts::BYPASSED if value > 0.0 => self.add_bypass(sample),
            facts::ATTRIBUTED => {
                *self.attributed.entry(sample.label("result").to_owned()).or_default() += value;
            }
            _ => self.add_to_point(sample),
        }
    }

    fn add_bypass(&mut self, sample: &Sample) {
        let bypass = Bypass {
            point: within(sample, sample.label("point")),
            kind: sample.label("kind").to_owned(),
            source: workload(sample, "source_workload_namespace", "source_workload"),
            destination: workload(sample, "destination_workload_namespace", "destination_workload"),
            connections: sample.value,
        };
        let same = |known: &&mut Bypass| {
            (&known.point, &known.source, &known.destination) == (&bypass.point, &bypass.source, &bypass.destination)
        };
        match self.bypasses.iter_mut().find(same) {
            Some(known) => known.connections += bypass.connections,
            None => self.bypasses.push(bypass),
        }
    }

    fn add_to_point(&mut self, sample: &Sample) {
        let value = sample.value;
        let Some(point) = self.point(sample) else { return };
        let in_handshake = sample.label("phase") == "handshake";
        match sample.series.as_str() {
            facts::ACTIVE if sample.label("side") == "downstream" => {
                let (instance, node) = (sample.label("instance_pod"), node(sample));
                point.instances.insert(format!(
                    "{instance}{}",
                    if node.is_empty() {
                        String::new()
                    } else {
                        format!(" at {node}")
                    }
                ));
                point.nodes.insert(node.to_owned());
            }
            facts::OPENED => point.own.attempts += value,
            facts::FAILURES => {
                point.own.failures += value;
                point.own.attempts += if in_handshake { value } else { 0.0 };
            }
            facts::CALLER_OPENED => point.callers.attempts += value,
            facts::CALLER_FAILURES => {
                point.callers.failures += value;
                point.callers.attempts += if in_handshake { value } else { 0.0 };
            }
            facts::SATURATION => {
                let resource = sample.label("resource");
                let more = point
                    .saturation
                    .as_ref()
                    .is_none_or(|(most, known)| value > *most || (value == *most && resource < known.as_str()));
                if more {
                    point.saturation = Some((value, resource.to_owned()));
                }
            }
            facts::DEPENDENT_ACTIVE if value > 0.0 => {
                let name = workload(sample, "source_workload_namespace", "source_workload");
                point.dependents.entry(name).or_default();
                let principal = sample.label("source_principal");
                if !principal.is_empty() {
                    point.principals.insert(principal.to_owned());
                }
            }
            facts::DEPENDENT_SHARE => {
                let name = workload(sample, "source_workload_namespace", "source_workload");
                let share = point.dependents.entry(name).or_default();
                // The lowest share counts: on one of its nodes it has another way.
                *share = Some(share.map_or(value, |known| known.min(value)));
            }
            facts::DEPENDENT_CONNECTIONS => point.dependent_traffic(sample).opened += value,
            facts::DEPENDENT_OPEN => point.dependent_traffic(sample).open += value,
            facts::SERVED_CONNECTIONS => point.served_traffic(sample).opened += value,
            facts::SERVED_OPEN => point.served_traffic(sample).open += value,
            facts::DEPENDENTS_UNTRACKED => point.untracked = point.untracked.max(value as u64),
            facts::SERVED_ACTIVE if value > 0.0 => {
                let name = workload(sample, "destination_workload_namespace", "destination_workload");
                point.served.insert(name);
            }
            facts::OPEN_BY_AGE if sample.label("side") == "downstream" && sample.label("min_age_seconds") == "30" => {
                *point.old.get_or_insert(0.0) += value;
            }
            facts::EXITS if sample.label("reason") == "oom_killed" => point.oom_kills += value,
            _ => {}
        }
    }
}
