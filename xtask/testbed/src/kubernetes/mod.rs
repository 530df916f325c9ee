//! Kubernetes without a cluster.

mod api;
pub mod manifests;
pub mod node;

pub use api::{ApiServer, Asked, Fault, FaultKind, Resource, Verb};
