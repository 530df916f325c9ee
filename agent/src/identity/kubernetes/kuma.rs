//! Kuma: identities of its pods.
//!
//! `spiffe://<mesh>/<service>`, or with MeshIdentity `spiffe://<mesh>.<zone>.mesh.local/ns/<namespace>/sa/<service account>`.

use super::{
    meshes::Meshes,
    objects::{Meta, Pod},
};
use crate::identity::spiffe;

/// The name of Kuma's sidecar container.
const SIDECAR: &str = "kuma-sidecar";

/// The principal of a pod; `None` when it is not in Kuma's mesh. `service` gives the name and port of a service in front of
/// the pod.
pub fn principal(
    pod: &Pod,
    namespace_meta: Option<&Meta>,
    meshes: &Meshes,
    service: impl FnOnce() -> Option<(String, u16)>,
) -> Option<String> {
    if !pod.spec.has(SIDECAR) {
        return None;
    }
    let namespace = &pod.metadata.namespace;
    const MESH: &str = "kuma.io/mesh";
    let said = |meta: &'_ Meta| meta.label(MESH).or_else(|| meta.annotation(MESH)).map(str::to_owned);
    let mesh = pod
        .spec
        .variable(SIDECAR, "KUMA_DATAPLANE_MESH")
        .map(str::to_owned)
        .or_else(|| said(&pod.metadata))
        .or_else(|| said(namespace_meta?))
        .unwrap_or_else(|| "default".to_owned());
    if let Some(zone) = &meshes.kuma_zone {
        let domain = format!("{mesh}.{zone}.mesh.local");
        return Some(spiffe(&domain, namespace, pod.spec.service_account()));
    }
    // `kuma.io/service` as Kuma's controller makes it from the first service, or without one from the pod's name.
    let service = service().map_or_else(
        || format!("{}_{namespace}_svc", pod.metadata.name),
        |(name, port)| format!("{name}_{namespace}_svc_{port}"),
    );
    Some(format!("spiffe://{mesh}/{service}"))
}
