//! What a container sees of the node.

use std::path::PathBuf;

/// A file or directory of the node, at a place in the container.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where the container has it.
    pub target: PathBuf,
    /// Whether the container may not write. As with Kubernetes, what is mounted below `source` is not concerned.
    pub read_only: bool,
}
