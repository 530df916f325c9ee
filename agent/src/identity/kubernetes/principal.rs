//! A pod's identity in the form of its mesh: each mesh is tried in turn.

use super::{
    cilium, istio, kuma, linkerd,
    meshes::Meshes,
    objects::{Meta, Pod},
};

/// The principal of a pod; empty when it is in no mesh, or when its identity cannot be derived from the object. `service` gives the
/// name and port of a service in front of the pod.
pub fn principal_of(
    pod: &Pod,
    namespace: Option<&Meta>,
    meshes: &Meshes,
    service: impl FnOnce() -> Option<(String, u16)>,
) -> String {
    if cilium::is_ztunnel(pod) {
        return String::new();
    }
    kuma::principal(pod, namespace, meshes, service)
        .or_else(|| linkerd::principal(pod, meshes))
        .or_else(|| istio::principal(pod, namespace, meshes))
        .or_else(|| cilium::principal(pod, namespace, meshes))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::objects::Namespace, *};
    use istio::trust_domain_of_mesh_config;
    use narrows_testbed::kubernetes::manifests;

    fn principal(manifest: &str, meshes: &Meshes, service: Option<(&str, u16)>) -> String {
        let pod: Pod = serde_json::from_value(manifests::pod(manifest)).expect("a pod");
        principal_of(&pod, None, meshes, || {
            service.map(|(name, port)| (name.to_owned(), port))
        })
    }

    fn account(manifest: &str) -> (String, String) {
        let pod: Pod = serde_json::from_value(manifests::pod(manifest)).expect("a pod");
        (pod.metadata.namespace.clone(), pod.spec.service_account().to_owned())
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
    fn cilium_by_the_enrolment_of_the_namespace() {
        let in_namespace = |manifest: &str, labels: &[(&str, &str)]| {
            let pod: Pod = serde_json::from_value(manifests::pod(manifest)).expect("a pod");
            let namespace = manifests::namespace(&pod.metadata.namespace, labels);
            let namespace: Namespace = serde_json::from_value(namespace).expect("a namespace");
            principal_of(&pod, Some(&namespace.metadata), &Meshes::default(), || None)
        };
        let enrolled = [("io.cilium/mtls-enabled", "true")];
        let (namespace, account) = account("deployment");
        assert_eq!(
            in_namespace("deployment", &enrolled),
            format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
        );
        assert_eq!(in_namespace("deployment", &[("io.cilium/mtls-enabled", "false")]), "");
        // On the node's network; and the proxy itself, which has the name of Istio's.
        assert_eq!(in_namespace("cilium-envoy", &enrolled), "");
        assert_eq!(in_namespace("cilium-ztunnel", &enrolled), "");
    }

    #[test]
    fn a_pod_in_no_mesh_has_none() {
        for manifest in ["deployment", "statefulset", "bare", "cilium-envoy", "cilium-ztunnel"] {
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
