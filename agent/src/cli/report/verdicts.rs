//! What follows from several series together: blocked ports, what happened while points were away, when resources will be full.
//!
//! All but the first come from the recording rules of `deploy/prometheus`, which only a Prometheus has.

use super::facts;
use crate::cli::{
    name::{Name, instance_of, node, within, workload},
    prometheus::Sample,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// When a resource of a point will be full, if it goes on as it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Hours from when the report was written.
    pub hours: f64,
    /// The same at a growth of two standard errors more; `None` where it is not known.
    pub earliest: Option<f64>,
    /// The same at a growth of two standard errors less.
    pub latest: Option<f64>,
    /// The dependent with the greatest part of the dependents' growth, and that part; `None` where none grows.
    pub driver: Option<(Name, f64)>,
}

/// A resource of a failure domain: its name (of a node's proxy, with the node), and the resource.
type Resource = (Name, String);

/// A point, a workload at the other end, and who closed first: `peer` or `point`.
type HalfClosed = (Name, Name, String);

/// So many half-closed connections with one workload at one time, or closed sockets of one instance, are more than those that are about to end.
const MANY: f64 = 100.0;

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdicts {
    /// Whether the recording rules are loaded.
    pub rules: bool,
    /// Attempts to connect to port 15008 that got no answer while the pod answered at others, by caller and called.
    #[serde(with = "rows")]
    pub blocked: BTreeMap<(Name, Name), f64>,
    /// What happened to the traffic of points that were away: `open`, `closed` or `mixed`, or several of them.
    pub away: BTreeMap<Name, BTreeSet<String>>,
    /// Half-closed connections at one time, of which there were many: the highest number by point, workload and who closed first.
    #[serde(default, with = "rows")]
    pub half_closed: BTreeMap<HalfClosed, f64>,
    /// Sockets that have ended and that a proxy still holds, of which there were many at one time: the highest number by instance and side.
    #[serde(default, with = "rows")]
    pub held: BTreeMap<(Name, String), f64>,
    /// Instances of points that had no connection to their control plane: the instance, and the control planes of its mesh. See
    /// [`super::links::cut_off`].
    #[serde(default)]
    pub cut_off: BTreeSet<(Name, Name)>,
    /// Resources that fill up.
    #[serde(with = "rows")]
    pub trends: BTreeMap<Resource, Trend>,
}

/// Maps whose keys are no text, as lists of pairs.
mod rows {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Vec::<(K, V)>::deserialize(deserializer).map(|rows| rows.into_iter().collect())
    }
}

impl Verdicts {
    /// Adds a sample; `false` when it is about something else.
    pub fn add(&mut self, sample: &Sample) -> bool {
        let value = sample.value;
        match sample.series.as_str() {
            facts::HBONE_BLOCKED => {
                if value > 0.0 {
                    let source = workload(sample, "source_workload_namespace", "source_workload");
                    let destination = workload(sample, "destination_workload_namespace", "destination_workload");
                    *self.blocked.entry((source, destination)).or_default() += value;
                }
            }
            facts::DEPENDENT_HALF_CLOSED => self.half_closed(sample, "source_workload_namespace", "source_workload"),
            facts::SERVED_HALF_CLOSED => {
                self.half_closed(sample, "destination_workload_namespace", "destination_workload");
            }
            facts::SOCKETS => {
                if sample.label("state") == "close" && value >= MANY {
                    let key = (instance_of(sample), sample.label("side").to_owned());
                    let most = self.held.entry(key).or_default();
                    *most = most.max(value);
                }
            }
            facts::CONTROL_PLANE | facts::WITHOUT_CONTROL_PLANE => {}
            facts::RULES => self.rules = true,
            facts::AWAY => {
                let point = within(sample, sample.label("point"));
                self.away
                    .entry(point)
                    .or_default()
                    .insert(sample.label("verdict").to_owned());
            }
            facts::HOURS => self.trend(sample).hours = value,
            facts::EARLIEST => self.trend(sample).earliest = Some(value),
            facts::LATEST => self.trend(sample).latest = Some(value),
            facts::DRIVER => {
                let who = workload(sample, "source_workload_namespace", "source_workload");
                self.trend(sample).driver = Some((who, value));
            }
            _ => return false,
        }
        true
    }

    fn half_closed(&mut self, sample: &Sample, namespace: &str, name: &str) {
        if sample.value >= MANY {
            let point = within(sample, sample.label("point"));
            let key = (
                point,
                workload(sample, namespace, name),
                sample.label("first_fin").to_owned(),
            );
            let most = self.half_closed.entry(key).or_default();
            *most = most.max(sample.value);
        }
    }

    fn trend(&mut self, sample: &Sample) -> &mut Trend {
        let name = within(sample, sample.label("point"));
        // Only the proxy of a node has one.
        let name = match node(sample) {
            "" => name,
            node => format!("{name} on {node}"),
        };
        self.trends
            .entry((name, sample.label("resource").to_owned()))
            .or_default()
    }
}
