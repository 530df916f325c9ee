//! Cilium: identities of pods that its own ztunnel acts for.
//!
//! `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, signed by SPIRE or by Cilium's own CA, for the pods of namespaces
//! with the label `io.cilium/mtls-enabled=true` (cilium/cilium, Documentation/security/network/encryption-ztunnel.rst). Its trust
//! domain is ztunnel's default unless SPIRE was set up with another one, which is in no object that the agent reads.

use super::{
    meshes::{DEFAULT_TRUST_DOMAIN, Meshes},
    objects::{Meta, Pod},
};
use crate::identity::spiffe;

/// The label by which a namespace is enrolled; pods cannot be enrolled one by one.
const ENROLLED: &str = "io.cilium/mtls-enabled";

/// The name of the DaemonSet of Cilium's own ztunnel.
const ZTUNNEL: &str = "ztunnel-cilium";

/// The principal of a pod; `None` when Cilium's ztunnel does not act for it. Pods on the node's network cannot be enrolled.
pub fn principal(pod: &Pod, namespace: Option<&Meta>, meshes: &Meshes) -> Option<String> {
    let enrolled = namespace?.label(ENROLLED) == Some("true") && !pod.spec.host_network;
    (enrolled && !is_ztunnel(pod)).then(|| {
        let domain = meshes.trust_domain.as_deref().unwrap_or(DEFAULT_TRUST_DOMAIN);
        spiffe(domain, &pod.metadata.namespace, pod.spec.service_account())
    })
}

/// Whether the pod is Cilium's own ztunnel, whose container has the name of Istio's proxies. It shows its workloads' identities and
/// none of its own.
pub fn is_ztunnel(pod: &Pod) -> bool {
    let owner = pod.metadata.controller();
    owner.is_some_and(|owner| owner.kind == "DaemonSet" && owner.name == ZTUNNEL)
}
