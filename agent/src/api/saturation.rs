//! How full the resources of a point are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How full its resources are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Saturation {
    /// The saturation of its fullest resource; `null` when none is known.
    pub worst_ratio: Option<f64>,
    /// The name of the resource with that ratio, as in the label `resource` of `narrows_saturation_ratio`.
    pub worst_resource: Option<String>,
    /// Every resource: `cpu`, `memory`, `accept_queue`, `open_files`, `backlog`, `ephemeral_ports`, in this order.
    pub resources: Vec<Resource>,
}

/// How full a resource is (`narrows_saturation_ratio`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Resource {
    /// The value of the `resource` label.
    pub resource: String,
    /// From 0 (idle) to 1 (full); `null` where it cannot be known.
    pub ratio: Option<f64>,
    /// Which signal is missing, and why, where there is no ratio.
    pub missing: Option<String>,
}

/// How close a point is to be a single point of failure under load (`narrows_choke_risk_ratio`): the saturation of its fullest
/// resource, times the share of the workloads with traffic on this node that depend on it. It needs no Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct ChokeRisk {
    /// From 0 to 1; `null` where it cannot be known.
    pub ratio: Option<f64>,
    /// What is missing where there is no ratio.
    pub missing: Option<String>,
    /// The share of the workloads with traffic on this node that depend on the point; `null` while there are none.
    pub dependents_ratio: Option<f64>,
}
