//! What the API tells of instances that are to go (`/api/v1/drains`): written by the agent, read by `narrows drain`.

use crate::{
    fleet::Nodes,
    model::DrainCause,
    points::{Kind, Mesh},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Drains {
    /// The number of the agent's tick that it is as of.
    pub tick: u64,
    /// The drains under way on the agent's node, or with `nodes=all` on all of them.
    pub drains: Vec<Draining>,
    /// Whose answers it is made of, with `nodes=all`; else `null`.
    #[serde(default)]
    pub nodes: Option<Nodes>,
}

/// An instance of a point that is to go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Draining {
    /// The node whose agent says this, with `nodes=all`; else `null`.
    #[serde(default)]
    pub node: Option<String>,
    /// The point.
    pub point: String,
    /// Its kind.
    pub kind: Kind,
    /// Its mesh.
    pub mesh: Mesh,
    /// The instance: a pod, or an entry of the inventory.
    pub instance: String,
    /// Why it is to go.
    pub cause: DrainCause,
    /// When the agent noticed it, in UTC.
    pub since: String,
    /// When its grace ends, in UTC; `None` where that is not known.
    pub deadline: Option<String>,
    /// The time until then, in seconds; negative when it is past.
    pub seconds_left: Option<f64>,
    /// How many connections hung on it when it was noticed.
    pub first: u64,
    /// How many do now.
    pub connections: u64,
    /// How many the end of its grace would cut if connections went on to end as they have until now: an estimate.
    pub cut: Option<f64>,
    /// The number of connections that have reached an age, by the age in seconds.
    pub min_age_seconds: BTreeMap<u32, u64>,
    /// Whose connections these are, those with the most first.
    pub dependents: Vec<Dependent>,
}

#[cfg(test)]
impl Draining {
    /// One of which so many connections are left.
    pub fn example(connections: u64) -> Self {
        let dependent = |name: &str, connections| Dependent {
            namespace: "shop".into(),
            name: name.into(),
            principal: String::new(),
            connections,
            min_age_seconds: [(1, connections)].into(),
        };
        Self {
            node: None,
            point: "shop/waypoint".into(),
            kind: Kind::Waypoint,
            mesh: Mesh::Istio,
            instance: "waypoint-1".into(),
            cause: DrainCause::Terminating,
            since: "2026-11-26T12:00:00.000Z".into(),
            deadline: Some("2026-11-26T12:05:00.000Z".into()),
            seconds_left: Some(119.6),
            first: 40,
            connections,
            cut: Some(11.7),
            min_age_seconds: [(1, 20), (5, 3), (30, 0)].into(),
            dependents: [("a", 9), ("b", 8), ("c", 2), ("d", 1), ("e", 0)]
                .map(|(name, n)| dependent(name, n))
                .into(),
        }
    }
}

/// A dependent of the instance.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Dependent {
    /// Its namespace; empty for a sum of several dependents, and for unknown callers.
    pub namespace: String,
    /// Its name; `_other` stands for all but the ten with the most connections, `unknown` for unknown callers.
    pub name: String,
    /// Its identity in its mesh.
    pub principal: String,
    /// Its open connections.
    pub connections: u64,
    /// The number of these that have reached an age, by the age in seconds.
    pub min_age_seconds: BTreeMap<u32, u64>,
}
