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
