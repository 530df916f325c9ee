//! A pod's identity in its mesh's own form.
//!
//! Istio and SPIRE: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`
//! (<https://istio.io/latest/docs/concepts/security/#secure-naming>). Kuma: `spiffe://<mesh>/<service>`, or with MeshIdentity
//! `spiffe://<mesh>.<zone>.mesh.local/ns/<namespace>/sa/<service account>`. Linkerd:
//! `<service account>.<namespace>.serviceaccount.identity.<control plane's namespace>.<trust domain>`.

use super::objects::{Meta, Pod};
use crate::identity::spiffe;

/// What the meshes of this cluster are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meshes {
    /// The trust domain that the user gave, or that the mesh's own config map has.
    pub trust_domain: Option<String>,
    /// Kuma's zone: with it, Kuma's identities are those of MeshIdentity.
    pub kuma_zone: Option<String>,
}

/// The trust domain of meshes that nobody gave another one.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

impl Meshes {
    fn trust_domain<'a>(&'a self, pod: &'a Pod) -> &'a str {
        let injected = || {
            let proxies = ["istio-proxy", "agentgateway"].into_iter();
            let mut named = proxies.filter_map(|container| variable(pod, container, "TRUST_DOMAIN"));
            named.find(|domain| !domain.contains('$'))
        };
        self.trust_domain
            .as_deref()
            .or_else(injected)
            .unwrap_or(DEFAULT_TRUST_DOMAIN)
    }
}

/// The principal of a pod; empty when it is in no mesh, or in one whose form of identity cannot be told from here. `service`
/// gives the name and port of a service in front of the pod.
pub fn principal_of(
    pod: &Pod,
    namespace_meta: Option<&Meta>,
    meshes: &Meshes,
    service: impl FnOnce() -> Option<(String, u16)>,
) -> String {
    if has(pod, "kuma-sidecar") {
        return of_kuma(pod, namespace_meta, meshes, service);
    }
    if has(pod, "linkerd-proxy") {
        return of_linkerd(pod, meshes);
    }
    if in_istio(pod, namespace_meta) {
        return spiffe(meshes.trust_domain(pod), &pod.metadata.namespace, service_account(pod));
    }
    String::new()
}

fn of_kuma(
    pod: &Pod,
    namespace_meta: Option<&Meta>,
    meshes: &Meshes,
    service: impl FnOnce() -> Option<(String, u16)>,
) -> String {
    let namespace = &pod.metadata.namespace;
    const MESH: &str = "kuma.io/mesh";
    let said = |meta: &'_ Meta| meta.label(MESH).or_else(|| meta.annotation(MESH)).map(str::to_owned);
    let mesh = variable(pod, "kuma-sidecar", "KUMA_DATAPLANE_MESH")
        .map(str::to_owned)
        .or_else(|| said(&pod.metadata))
        .or_else(|| said(namespace_meta?))
        .unwrap_or_else(|| "default".to_owned());
    if let Some(zone) = &meshes.kuma_zone {
        return spiffe(&format!("{mesh}.{zone}.mesh.local"), namespace, service_account(pod));
    }
    // `kuma.io/service` as Kuma's controller makes it from the first service, or without one from the pod's name.
    let service = service().map_or_else(
        || format!("{}_{namespace}_svc", pod.metadata.name),
        |(name, port)| format!("{name}_{namespace}_svc_{port}"),
    );
    format!("spiffe://{mesh}/{service}")
}

fn of_linkerd(pod: &Pod, meshes: &Meshes) -> String {
    let (namespace, account) = (&pod.metadata.namespace, service_account(pod));
    const MIDDLE: &str = ".serviceaccount.identity.";
    let own = variable(pod, "linkerd-proxy", "LINKERD2_PROXY_IDENTITY_LOCAL_NAME");
    // The first half is for the kubelet to fill in, the second is not.
    let plane = own
        .and_then(|name| name.split_once(MIDDLE))
        .map(|(_, plane)| plane.to_owned())
        .filter(|plane| !plane.contains('$'))
        .unwrap_or_else(|| {
            let or = |name, default| variable(pod, "linkerd-proxy", name).unwrap_or(default);
            let domain = meshes.trust_domain.as_deref();
            let domain = domain.unwrap_or_else(|| or("_l5d_trustdomain", DEFAULT_TRUST_DOMAIN));
            format!("{}.{domain}", or("_l5d_ns", "linkerd"))
        });
    format!("{account}.{namespace}{MIDDLE}{plane}")
}

/// The service account of a pod.
pub fn service_account(pod: &Pod) -> &str {
    match pod.spec.service_account_name.as_str() {
        "" => "default",
        name => name,
    }
}

/// By sidecar, as one of Istio's own proxies, or because a ztunnel captures it.
fn in_istio(pod: &Pod, namespace: Option<&Meta>) -> bool {
    let meta = &pod.metadata;
    let class = meta.label("gateway.networking.k8s.io/gateway-class-name");
    has(pod, "istio-proxy")
        || class.is_some_and(|class| class.starts_with("istio"))
        || meta.annotation("sidecar.istio.io/status").is_some()
        || meta.annotation("ambient.istio.io/redirection") == Some("enabled")
        // Not captured yet, or by a ztunnel that leaves no mark.
        || {
            const MODE: &str = "istio.io/dataplane-mode";
            let mode = meta.label(MODE).or_else(|| namespace?.label(MODE));
            mode == Some("ambient") && !pod.spec.host_network
        }
}

fn has(pod: &Pod, container: &str) -> bool {
    pod.spec.all_containers().any(|spec| spec.name == container)
}

fn variable<'a>(pod: &'a Pod, container: &str, name: &str) -> Option<&'a str> {
    pod.spec
        .all_containers()
        .find(|spec| spec.name == container)?
        .variable(name)
}

/// The trust domain in Istio's mesh configuration, the value `mesh` of its config map (YAML).
///
/// # Errors
/// A sentence.
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

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_testbed::kubernetes::manifests;

    fn principal(manifest: &str, meshes: &Meshes, service: Option<(&str, u16)>) -> String {
        let pod: Pod = serde_json::from_value(manifests::pod(manifest)).expect("a pod");
        principal_of(&pod, None, meshes, || {
            service.map(|(name, port)| (name.to_owned(), port))
        })
    }

    fn account(manifest: &str) -> (String, String) {
        let pod: Pod = serde_json::from_value(manifests::pod(manifest)).expect("a pod");
        (pod.metadata.namespace.clone(), service_account(&pod).to_owned())
    }

    #[test]
    fn istio_by_sidecar_by_capture_and_its_own_proxies() {
        let meshes = Meshes::default();
        for manifest in [
            "istio-sidecar",
            "istio-sidecar-native",
            "istio-ambient-app",
            "istio-waypoint",
            "istio-waypoint-agentgateway",
            "istio-ztunnel",
            "istio-ingressgateway",
        ] {
            let (namespace, account) = account(manifest);
            let expected = format!("/ns/{namespace}/sa/{account}");
            let found = principal(manifest, &meshes, None);
            assert!(
                found.starts_with("spiffe://") && found.ends_with(&expected),
                "{manifest}: {found}"
            );
        }
        let meshes = Meshes {
            trust_domain: Some("example.org".into()),
            ..Meshes::default()
        };
        assert!(principal("istio-sidecar", &meshes, None).starts_with("spiffe://example.org/ns/"));
    }

    #[test]
    fn kuma_by_service_or_by_mesh_identity() {
        let meshes = Meshes::default();
        let (namespace, account) = account("kuma2-sidecar");
        assert_eq!(
            principal("kuma2-sidecar", &meshes, Some(("web", 8080))),
            format!("spiffe://default/web_{namespace}_svc_8080")
        );
        let alone = principal("kuma2-sidecar", &meshes, None);
        assert!(
            alone.starts_with("spiffe://default/") && alone.ends_with(&format!("_{namespace}_svc")),
            "{alone}"
        );
        let meshes = Meshes {
            kuma_zone: Some("east".into()),
            ..Meshes::default()
        };
        assert_eq!(
            principal("kuma2-sidecar", &meshes, None),
            format!("spiffe://default.east.mesh.local/ns/{namespace}/sa/{account}")
        );
    }

    #[test]
    fn linkerd_by_its_proxys_own_name() {
        let (namespace, account) = account("linkerd-sidecar");
        assert_eq!(
            principal("linkerd-sidecar", &Meshes::default(), None),
            format!("{account}.{namespace}.serviceaccount.identity.linkerd.cluster.local")
        );
    }

    #[test]
    fn a_pod_in_no_mesh_has_none() {
        for manifest in ["deployment", "statefulset", "bare", "cilium-envoy"] {
            assert_eq!(principal(manifest, &Meshes::default(), None), "", "{manifest}");
        }
    }

    #[test]
    fn the_mesh_configuration_has_a_trust_domain() {
        let mesh = "accessLogFile: /dev/stdout\ntrustDomain: td.example\ndefaultConfig:\n  proxyMetadata: {}\n";
        assert_eq!(trust_domain_of_mesh_config(mesh), Ok(Some("td.example".into())));
        assert_eq!(trust_domain_of_mesh_config("rootNamespace: x\n"), Ok(None));
        assert_eq!(trust_domain_of_mesh_config("\n"), Ok(None));
        assert!(trust_domain_of_mesh_config("trustDomain: [").is_err());
    }
}
