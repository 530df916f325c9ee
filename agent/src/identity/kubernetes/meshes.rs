//! What the meshes of a cluster are called.

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
