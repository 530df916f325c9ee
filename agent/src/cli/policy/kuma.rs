//! Kuma's MeshTrafficPermission, in the form `spec.rules[].default.allow[].spiffeID`.
//!
//! That form matches the identity in a client's certificate, which is what the agent knows of it; it exists since Kuma 2.12 and is the
//! only one in Kuma 3. The older `spec.from[]` matches tags of the client, which certificates of MeshIdentity no longer have, and the
//! agent never sees (kumahq/kuma, api/common/v1alpha1/match.go and MADR "SPIFFE ID matches for MeshTrafficPermission"). A zone egress can
//! be targeted as a Dataplane since Kuma 2.14 (MADR "Policy Matching on MeshScoped Zone Proxy").

use super::{
    coverage,
    draft::{self, Draft, Metadata, Object, denied, shared_identities, upper_bound},
    seen::{Caller, Callers, Seen},
};
use anyhow::bail;
use serde::Serialize;
use serde_saphyr::Commented;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    target_ref: TargetRef,
    rules: [Rule; 1],
}

#[derive(Debug, Serialize)]
struct TargetRef {
    kind: &'static str,
    labels: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Rule {
    default: Default,
}

#[derive(Debug, Serialize)]
struct Default {
    allow: Vec<Match>,
}

#[derive(Debug, Serialize)]
struct Match {
    #[serde(rename = "spiffeID")]
    spiffe_id: SpiffeId,
}

#[derive(Debug, Serialize)]
struct SpiffeId {
    r#type: &'static str,
    value: Commented<String>,
}

/// One policy for each mesh whose workloads call through the zone egress.
///
/// # Errors
/// Below the coverage, or when the identities are not those of MeshIdentity.
pub fn at_zone_egress(seen: &Seen, least: f64) -> anyhow::Result<Draft> {
    let coverage = coverage::require(seen, [&seen.callers], least)?;
    let meshes = by_mesh(seen)?;
    let mut draft = Draft {
        coverage,
        allows: upper_bound(seen),
        unknown: (denied(coverage::others([&seen.callers])).into_iter())
            .chain(shared_identities(&seen.callers))
            .collect(),
        before: vec![
            "Form: rules[].default.allow[].spiffeID, as it matches identities; from[] matches tags, and is not in Kuma 3.".to_owned(),
            "A match can also name a destination by its SNI, which the agent does not see.".to_owned(),
            "It needs MeshIdentity and a zone egress of one mesh (Kuma 2.14 or newer).".to_owned(),
            "Permissions add up: another one for the same zone egress allows what it allows, and one that denies takes precedence."
                .to_owned(),
        ],
        objects: Vec::new(),
    };
    for (mesh, callers) in &meshes {
        draft.push(&permission(seen, mesh, callers))?;
    }
    Ok(draft)
}

fn permission(seen: &Seen, mesh: &str, callers: &Callers) -> Object<Spec> {
    let (namespace, point) = seen.names();
    let allow = draft::principals(callers, str::to_owned)
        .into_iter()
        .map(|value| Match {
            spiffe_id: SpiffeId { r#type: "Exact", value },
        });
    // Both labels are set by Kuma's pod controller (pkg/plugins/runtime/k8s/metadata: KumaZoneProxyTypeLabel, and the namespace's).
    let labels = BTreeMap::from([
        ("k8s.kuma.io/namespace", namespace.to_owned()),
        ("k8s.kuma.io/zone-proxy-type", "egress".to_owned()),
    ]);
    Object {
        api_version: "kuma.io/v1alpha1",
        kind: "MeshTrafficPermission",
        metadata: Metadata {
            name: format!("narrows-{point}-{mesh}"),
            namespace: namespace.to_owned(),
            labels: BTreeMap::from([("kuma.io/mesh", mesh.to_owned())]),
        },
        spec: Spec {
            target_ref: TargetRef {
                kind: "Dataplane",
                labels,
            },
            rules: [Rule {
                default: Default { allow: allow.collect() },
            }],
        },
    }
}

/// The callers by their mesh, the first part of the trust domain `<mesh>.<zone>.mesh.local` of MeshIdentity.
fn by_mesh(seen: &Seen) -> anyhow::Result<BTreeMap<String, Callers>> {
    let mut meshes = BTreeMap::<String, Callers>::new();
    for (caller, n) in &seen.callers.known {
        let Some(mesh) = mesh_of(caller) else {
            bail!(
                "no policy is drafted for {}: {} of {} is not an identity of MeshIdentity (spiffe://<mesh>.<zone>.mesh.local/ns/…), which a \
                 MeshTrafficPermission with identities needs; set identity.kuma_zone of the agents where the mesh has a MeshIdentity",
                seen.title(),
                caller.principal,
                caller.name,
            );
        };
        let callers = meshes.entry(mesh.to_owned()).or_default();
        callers.known.insert(caller.clone(), *n);
    }
    Ok(meshes)
}

fn mesh_of(caller: &Caller) -> Option<&str> {
    let (domain, path) = caller.principal.strip_prefix("spiffe://")?.split_once('/')?;
    let (mesh, zone) = domain.strip_suffix(".mesh.local")?.split_once('.')?;
    (path.starts_with("ns/") && !mesh.is_empty() && !zone.is_empty()).then_some(mesh)
}
