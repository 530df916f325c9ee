//! One picture of all samples: points, workloads, agents. What several agents know of the same is known once.

use super::{facts, text::Sample};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A workload or a point, as reports name it: `<namespace>/<name>`, after `<cluster>:` where there are several clusters.
pub type Name = String;

/// A point.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Point {
    /// What it is.
    pub kind: String,
    /// Whose it is.
    pub mesh: String,
    /// Its instances: pods or units.
    pub instances: BTreeSet<String>,
    /// The agents (scrape targets) that have one of them on their node.
    pub nodes: BTreeSet<String>,
    /// How full its fullest resource was, and which; `None` where nothing is known.
    pub saturation: Option<(f64, String)>,
    /// Who depends on it, and with which share of its connections; `None` where that is not known.
    pub dependents: BTreeMap<Name, Option<f64>>,
    /// Dependents beyond the bound, at least so many: they have no names.
    pub untracked: u64,
    /// Who is reached through it.
    pub served: BTreeSet<Name>,
    /// Connections and attempts, and which of them failed, as its own sockets show it.
    pub own: Tally,
    /// The same as its callers show it.
    pub callers: Tally,
    /// Times that it was killed for want of memory.
    pub oom_kills: f64,
}

/// What was tried, and what of it failed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Connections, and attempts that never were one.
    pub attempts: f64,
    /// Those that failed.
    pub failures: f64,
}

impl Tally {
    /// `None` when nothing was tried.
    pub fn ratio(self) -> Option<f64> {
        (self.attempts > 0.0).then(|| self.failures / self.attempts)
    }
}

/// Connections that did not pass a point that was expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bypass {
    /// The point.
    pub point: Name,
    /// What it is.
    pub kind: String,
    /// Who called.
    pub source: Name,
    /// Who was called.
    pub destination: Name,
    /// How often.
    pub connections: f64,
}

/// What an agent does not see.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Agent {
    /// Whether it answers; `None` where nobody says.
    pub up: Option<bool>,
    /// Kernel programs that are not attached.
    pub inactive: BTreeSet<String>,
    /// What the node does not offer.
    pub signals_off: BTreeSet<String>,
    /// What was lost, and how much.
    pub lost: BTreeMap<String, f64>,
    /// Lists of the API server that are old or incomplete.
    pub stale: BTreeSet<String>,
}

impl Agent {
    /// Whether it sees everything.
    pub fn sees_all(&self) -> bool {
        self.up != Some(false)
            && self.inactive.is_empty()
            && self.signals_off.is_empty()
            && self.lost.is_empty()
            && self.stale.is_empty()
    }
}

/// Everything that is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// By name. A name is of one kind.
    pub points: BTreeMap<Name, Point>,
    /// How each workload takes part in its mesh: several when its pods differ.
    pub modes: BTreeMap<Name, BTreeSet<String>>,
    /// Connections that workloads accepted, by what carried them there.
    pub enforced: BTreeMap<String, f64>,
    /// Connections that workloads accepted from no point, by workload.
    pub unenforced: BTreeMap<Name, f64>,
    /// Ends of connections by what was found there.
    pub attributed: BTreeMap<String, f64>,
    /// What passed points by.
    pub bypasses: Vec<Bypass>,
    /// By scrape target; one without a name when a single one was asked.
    pub agents: BTreeMap<String, Agent>,
}

/// Older than this, a list is stale, in seconds.
const STALE: f64 = 900.0;

/// What is lost on purpose, or before the agent could see it.
const HARMLESS: [&str; 2] = ["failure_event_rate_limited", "unseen_connection"];

impl Evidence {
    /// Puts samples together.
    pub fn of(samples: &[Sample]) -> Self {
        let mut all = Self::default();
        for sample in samples {
            all.add(sample);
        }
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

    /// Connections that passed by a point that was expected.
    pub fn bypassed(&self) -> f64 {
        // An empty sum is -0.
        self.bypasses.iter().map(|bypass| bypass.connections).sum::<f64>() + 0.0
    }

    fn point(&mut self, sample: &Sample) -> Option<&mut Point> {
        let name = sample.label("point");
        // The sum of those beyond the bound.
        if name.is_empty() || name.starts_with('_') {
            return None;
        }
        let point = self.points.entry(within(sample, name)).or_default();
        sample.label("kind").clone_into(&mut point.kind);
        sample.label("mesh").clone_into(&mut point.mesh);
        Some(point)
    }

    fn agent(&mut self, sample: &Sample) -> &mut Agent {
        let name = match (sample.label("node"), sample.label("instance")) {
            ("", target) | (target, "") => target.to_owned(),
            (node, target) => format!("{node} ({target})"),
        };
        self.agents.entry(name).or_default()
    }

    fn add(&mut self, sample: &Sample) {
        let value = sample.value;
        match sample.series.as_str() {
            facts::UP => {
                let agent = self.agent(sample);
                agent.up = Some(value > 0.0);
            }
            facts::BUILD_INFO => {
                self.agent(sample);
            }
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
                let (instance, node) = (sample.label("instance_pod"), sample.label("instance"));
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
            }
            facts::DEPENDENT_SHARE => {
                let name = workload(sample, "source_workload_namespace", "source_workload");
                let share = point.dependents.entry(name).or_default();
                // On one of its nodes it has another way.
                *share = Some(share.map_or(value, |known| known.min(value)));
            }
            facts::DEPENDENTS_UNTRACKED => point.untracked = point.untracked.max(value as u64),
            facts::SERVED_ACTIVE if value > 0.0 => {
                let name = workload(sample, "destination_workload_namespace", "destination_workload");
                point.served.insert(name);
            }
            facts::EXITS if sample.label("reason") == "oom_killed" => point.oom_kills += value,
            _ => {}
        }
    }
}

fn within(sample: &Sample, name: &str) -> Name {
    match sample.label("cluster") {
        "" => name.to_owned(),
        cluster => format!("{cluster}:{name}"),
    }
}

fn workload(sample: &Sample, namespace: &str, name: &str) -> Name {
    let (namespace, name) = (sample.label(namespace), sample.label(name));
    if namespace == name && matches!(name, "unknown" | "external" | "_other" | "_former") {
        return name.to_owned();
    }
    within(sample, &format!("{namespace}/{name}"))
}
