//! An entry of the inventory, of whichever list.

use crate::identity::Identity;
use std::{net::IpAddr, path::PathBuf};

/// One workload or point, and where it is found.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The workload or point that the entry describes.
    pub identity: Identity,
    /// IP addresses at which it is reached.
    pub addresses: Vec<IpAddr>,
    /// File of its network namespace; may appear later.
    pub netns: Option<PathBuf>,
    /// Its cgroup below the cgroup2 root, with a leading slash; may appear later.
    pub cgroup: Option<String>,
    /// The waypoint (`<namespace>/<name>`) that connections to it should pass.
    pub waypoint: Option<String>,
    /// Its line in the file.
    pub line: u64,
}
