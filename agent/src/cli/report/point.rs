//! What is known of a point, and how much it carries.

use crate::cli::{
    name::{Name, workload},
    prometheus::Sample,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the failure domain of an enforcement point: all of it, or the proxy of one node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// The name of the point, without a node.
    pub point: Name,
    /// Its cluster; empty where there is one.
    #[serde(default)]
    pub cluster: String,
    /// The node whose proxy this is; empty where a point is one domain, or where the source is a single agent.
    pub node: String,
    /// The value of the label `kind`.
    pub kind: String,
    /// The value of the label `mesh`.
    pub mesh: String,
    /// Its instances: pods or units.
    pub instances: BTreeSet<String>,
    /// The agents (scrape targets) with an instance on their node.
    pub nodes: BTreeSet<String>,
    /// The highest saturation of its resources, and the name of that resource; `None` where it is not known.
    pub saturation: Option<(f64, String)>,
    /// Its dependents, with the share of their connections that pass it; `None` where the share is not known.
    pub dependents: BTreeMap<Name, Option<f64>>,
    /// A lower bound of the number of dependents without series of their own, whose names are not known.
    pub untracked: u64,
    /// The identities of its dependents, as far as they have one.
    #[serde(default)]
    pub principals: BTreeSet<String>,
    /// Workloads that are reached through it.
    pub served: BTreeSet<Name>,
    /// What came from each of its dependents.
    #[serde(default)]
    pub from_dependents: BTreeMap<Name, Traffic>,
    /// What went to each workload that is reached through it.
    #[serde(default)]
    pub to_served: BTreeMap<Name, Traffic>,
    /// Connections and attempts, and how many failed, as observed by its own sockets.
    pub own: Tally,
    /// The same, as observed by its callers.
    pub callers: Tally,
    /// How often the OOM killer killed it.
    pub oom_kills: f64,
    /// Open connections now that it had accepted and that are at least 30 s old; `None` where ages are not counted.
    #[serde(default)]
    pub old: Option<f64>,
}

impl Point {
    /// What came from the dependent that the sample names.
    pub fn dependent_traffic(&mut self, sample: &Sample) -> &mut Traffic {
        let name = workload(sample, "source_workload_namespace", "source_workload");
        self.from_dependents.entry(name).or_default()
    }

    /// What went to the workload that the sample names.
    pub fn served_traffic(&mut self, sample: &Sample) -> &mut Traffic {
        let name = workload(sample, "destination_workload_namespace", "destination_workload");
        self.to_served.entry(name).or_default()
    }
}

/// Attempts, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Connections, plus attempts that failed in the handshake.
    pub attempts: f64,
    /// Those of them that failed.
    pub failures: f64,
}

impl Tally {
    /// The share that failed; `None` without attempts.
    pub fn ratio(self) -> Option<f64> {
        (self.attempts > 0.0).then(|| self.failures / self.attempts)
    }
}

/// Connections between a point and a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Those that were opened in the time of the report.
    pub opened: f64,
    /// The most that were open at a time: a sum over the nodes, whose maxima may be of different times.
    pub open: f64,
}

impl Traffic {
    /// A lower bound of the connections that there were: one that was open before is not among those that were opened.
    pub const fn at_least(self) -> f64 {
        self.opened.max(self.open)
    }
}
