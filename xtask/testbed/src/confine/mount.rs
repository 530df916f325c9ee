//! Mounts of the node's files in a container.

use std::path::PathBuf;

/// A file or directory of the node, and its path in the container.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The path on the node.
    pub source: PathBuf,
    /// The path in the container.
    pub target: PathBuf,
    /// Whether it is read-only. As with Kubernetes, this does not apply to mounts below `source`.
    pub read_only: bool,
}
