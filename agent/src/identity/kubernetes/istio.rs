//! Istio: identities of its pods, and the waypoints that objects name.
//!
//! `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` (<https://istio.io/latest/docs/concepts/security/#secure-naming>).

use super::{
    meshes::{DEFAULT_TRUST_DOMAIN, Meshes},
    objects::{Meta, Pod},
};
use crate::identity::spiffe;

/// The principal of a pod; `None` when it is not in Istio's mesh.
pub fn principal(pod: &Pod, namespace: Option<&Meta>, meshes: &Meshes) -> Option<String> {
    is_in_mesh(pod, namespace).then(|| {
        spiffe(
            trust_domain(meshes, pod),
            &pod.metadata.namespace,
            pod.spec.service_account(),
        )
    })
}

/// The trust domain of a pod: the configured one, that of its proxy, or Istio's default.
fn trust_domain<'a>(meshes: &'a Meshes, pod: &'a Pod) -> &'a str {
    let injected = || {
        let proxies = ["istio-proxy", "agentgateway"].into_iter();
        let mut named = proxies.filter_map(|container| pod.spec.variable(container, "TRUST_DOMAIN"));
        named.find(|domain| !domain.contains('$'))
    };
    meshes
        .trust_domain
        .as_deref()
        .or_else(injected)
        .unwrap_or(DEFAULT_TRUST_DOMAIN)
}

/// Whether the pod is in the mesh: it has a sidecar, is one of Istio's own proxies, or is captured by a ztunnel.
fn is_in_mesh(pod: &Pod, namespace: Option<&Meta>) -> bool {
    let meta = &pod.metadata;
    let class = meta.label("gateway.networking.k8s.io/gateway-class-name");
    pod.spec.has("istio-proxy")
        || class.is_some_and(|class| class.starts_with("istio"))
        || meta.annotation("sidecar.istio.io/status").is_some()
        || meta.annotation("ambient.istio.io/redirection") == Some("enabled")
        // Not captured yet, or captured by a ztunnel that leaves no annotation.
        || {
            const MODE: &str = "istio.io/dataplane-mode";
            let mode = meta.label(MODE).or_else(|| namespace?.label(MODE));
            mode == Some("ambient") && !pod.spec.host_network
        }
}

/// The trust domain in Istio's mesh configuration, the value `mesh` of its config map (YAML).
///
/// # Errors
/// The value is not valid YAML, as a message.
pub fn trust_domain_of_mesh_config(mesh: &str) -> Result<Option<String>, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct MeshConfig {
        trust_domain: Option<String>,
    }
    if mesh.trim().is_empty() {
        return Ok(None);
    }
    let config: MeshConfig = serde_saphyr::from_str(mesh).map_err(|error| format!("its field mesh: {error}"))?;
    Ok(config.trust_domain.filter(|domain| !domain.is_empty()))
}

/// The waypoint that an object's labels name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaypointChoice {
    /// The object has no such label.
    Silent,
    /// The object asks for no waypoint.
    None,
    /// The waypoint, as `<namespace>/<name>`.
    Waypoint(String),
}

impl WaypointChoice {
    /// Reads the labels of an object.
    pub fn of(meta: &Meta) -> Self {
        Self::in_labels(&meta.namespace, |name| meta.label(name))
    }

    /// Reads the labels of an object in a namespace.
    pub fn in_labels<'a>(namespace: &str, label: impl Fn(&str) -> Option<&'a str>) -> Self {
        match label("istio.io/use-waypoint") {
            None => Self::Silent,
            Some("none" | "") => Self::None,
            Some(name) => {
                let namespace = label("istio.io/use-waypoint-namespace").unwrap_or(namespace);
                Self::Waypoint(format!("{namespace}/{name}"))
            }
        }
    }
}
