//! Settings of the meshes in a cluster.

/// Settings of the meshes in this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meshes {
    /// The trust domain that the user configured, or that the mesh's config map has.
    pub trust_domain: Option<String>,
    /// Kuma's zone: with it, Kuma's identities are those of MeshIdentity.
    pub kuma_zone: Option<String>,
}

/// The trust domain of meshes for which no other one is configured.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// Whether a label or an annotation of a namespace may say how its pods take part in a mesh; others are not kept.
pub fn is_about_a_mesh(name: &str) -> bool {
    ["istio.io/", "kuma.io/", "io.cilium/"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
