//! Linkerd: identities of its pods.
//!
//! `<service account>.<namespace>.serviceaccount.identity.<control plane's namespace>.<trust domain>`.

use super::{
    meshes::{DEFAULT_TRUST_DOMAIN, Meshes},
    objects::Pod,
};

/// The name of Linkerd's sidecar container.
const SIDECAR: &str = "linkerd-proxy";

/// The principal of a pod; `None` when it is not in Linkerd's mesh.
pub fn principal(pod: &Pod, meshes: &Meshes) -> Option<String> {
    if !pod.spec.has(SIDECAR) {
        return None;
    }
    let (namespace, account) = (&pod.metadata.namespace, pod.spec.service_account());
    const MIDDLE: &str = ".serviceaccount.identity.";
    let own = pod.spec.variable(SIDECAR, "LINKERD2_PROXY_IDENTITY_LOCAL_NAME");
    // The first part is filled in by the kubelet, the second is not.
    let plane = own
        .and_then(|name| name.split_once(MIDDLE))
        .map(|(_, plane)| plane.to_owned())
        .filter(|plane| !plane.contains('$'))
        .unwrap_or_else(|| {
            let or = |name, default| pod.spec.variable(SIDECAR, name).unwrap_or(default);
            let domain = meshes.trust_domain.as_deref();
            let domain = domain.unwrap_or_else(|| or("_l5d_trustdomain", DEFAULT_TRUST_DOMAIN));
            format!("{}.{domain}", or("_l5d_ns", "linkerd"))
        });
    Some(format!("{account}.{namespace}{MIDDLE}{plane}"))
}
