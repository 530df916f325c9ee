//! Pods of every mesh and of every kind of owner, as the API server returns them, and a way to change them.
//!
//! Each file is a pod after injection and admission, with its status, reduced to fields that may matter to an agent on its
//! node. Its first line gives the source of the names in it. The values are invented.

mod complete;
mod edit;
mod objects;

use serde_json::Value;

pub use complete::{complete_node, complete_pod};
pub use edit::Pod;
pub use objects::{namespace, node, service};

/// The table of files: their names, and their text by name.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// The names of all pods.
        pub const ALL: &[&str] = &[$($name),*];

        fn text(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!($name, ".yaml"))),)*
                _ => None,
            }
        }
    };
}

files![
    // Istio
    "istio-ztunnel",
    "istio-waypoint",
    "istio-waypoint-agentgateway",
    "istio-east-west-gateway",
    "istio-gateway-api-gateway",
    "istio-ingressgateway",
    "istio-egressgateway",
    "istio-sidecar",
    "istio-sidecar-native",
    "istio-ambient-app",
    // Other projects' waypoints for Istio's ambient mode
    "kgateway-waypoint",
    "agentgateway-waypoint",
    // Kuma
    "kuma2-sidecar",
    "kuma2-zone-ingress",
    "kuma2-zone-egress",
    "kuma3-sidecar",
    "kuma3-zone-ingress",
    "kuma3-zone-egress",
    // Linkerd, Cilium, Consul
    "linkerd-sidecar",
    "linkerd-sidecar-native",
    "cilium-envoy",
    "cilium-ztunnel",
    "consul-sidecar",
    "consul-mesh-gateway",
    "consul-ingress-gateway",
    "consul-terminating-gateway",
    "consul-api-gateway",
    // No mesh, one for each kind of owner
    "deployment",
    "argo-rollout",
    "job",
    "cronjob-job",
    "statefulset",
    "daemonset",
    "bare",
    "static",
    "replicationcontroller",
    "crd-owned",
];

/// The pod `name`, one of [`ALL`].
///
/// # Panics
///
/// When there is no such pod: the test is wrong.
pub fn pod(name: &str) -> Value {
    let text = text(name).unwrap_or_else(|| panic!("no manifest {name}, there are: {}", ALL.join(", ")));
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("manifest {name}: {error}"))
}

#[cfg(test)]
mod tests;
