//! What the node itself knows: cgroups, network namespaces, processes.

mod cgroups;

pub use cgroups::Cgroups;

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The inode number of a namespace file, such as `/run/netns/checkout`; the kernel's `net.ns.inum`. `None` when there
/// is no such file, or it is not mounted.
pub fn netns_inode(path: &Path) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    // A file that waits for its mount has an inode of the file system it lies in.
    let root = fs::metadata("/proc/self/ns/net").ok()?;
    (metadata.dev() == root.dev())
        .then(|| u32::try_from(metadata.ino()).ok())
        .flatten()
}

/// The network namespace this process is in.
pub fn own_netns() -> Option<u32> {
    netns_inode(Path::new("/proc/self/ns/net"))
}

/// The running kernel's release, such as `6.12.0`.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
