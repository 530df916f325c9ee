//! What points and workloads are called.

use crate::points::{Kind, Mesh};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name and identifier of an instance of a point.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PointName {
    /// Its identifier, for `/api/v1/points/{id}`: stable, and safe in URLs.
    pub id: String,
    /// The name of the point that it is an instance of, as `<namespace>/<name>`.
    pub name: String,
    /// Its role in the mesh.
    pub kind: Kind,
    /// The mesh that it belongs to.
    pub mesh: Mesh,
    /// The pod or unit of this instance.
    pub instance: String,
}

/// The name and identity of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct WorkloadName {
    /// Its identifier: stable, and safe in URLs.
    pub id: String,
    /// The Kubernetes namespace, or that of the inventory's entry.
    pub namespace: String,
    /// The name of the owner of its pods.
    pub name: String,
    /// The kind of the owner, such as `Deployment`.
    pub kind: String,
    /// Its service account.
    pub service_account: String,
    /// Its identity in its mesh, such as a SPIFFE ID; empty when it is in none.
    pub principal: String,
}
