//! Kubernetes without a cluster: an API server, manifests, and nodes.

mod api;
pub mod manifests;
pub mod node;

pub use api::{ApiServer, Asked, Fault, FaultKind, Resource, Verb};
