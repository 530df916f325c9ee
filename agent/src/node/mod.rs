//! What can be read from the node itself: cgroups, network namespaces, processes.

mod cgroups;
mod container;
mod process;
pub mod resources;
mod thread;

pub use cgroups::Cgroups;
pub use container::{Container, ContainerId, PodUid, container_of, looks_like_a_pod};
pub use process::{Facts, facts, has_the_kernels_numbers};
pub use thread::cpu_time;

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// The inode number of a namespace file, such as `/run/netns/checkout`; the kernel's `net.ns.inum`. `None` when there
/// is no such file, or it is not mounted.
pub fn netns_inode(path: &Path) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    // A file on which no namespace is mounted yet has an inode of the file system in which it is stored.
    let root = fs::metadata("/proc/self/ns/net").ok()?;
    (metadata.dev() == root.dev())
        .then(|| u32::try_from(metadata.ino()).ok())
        .flatten()
}

/// The node's own network namespace: that of process 1, which is visible from a pod with `hostPID`. Where that process may
/// not be inspected, it is taken from another process in the same namespace. `None` when there is no such process.
pub fn host_netns() -> Option<u32> {
    let of = |process: &Path| netns_inode(&process.join("ns/net"));
    // This file needs no privileges, and has the same inode for all processes of a namespace.
    let network = |process: &Path| Some(fs::metadata(process.join("net/dev")).ok()?.ino());
    let first = Path::new("/proc/1");
    of(first).or_else(|| {
        let node = network(first)?;
        let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
        processes
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
            })
            .filter(|path| network(path) == Some(node))
            .find_map(|path| of(&path))
    })
}

/// The addresses in the node's own network namespace, without loopback, as the kernel lists them: in `fib_trie` and `if_inet6`
/// of process 1, else of this process.
pub fn host_addresses() -> HashSet<IpAddr> {
    let net = |name: &str| {
        fs::read_to_string(Path::new("/proc/1/net").join(name))
            .or_else(|_| fs::read_to_string(Path::new("/proc/self/net").join(name)))
            .unwrap_or_default()
    };
    let v4 = fib_trie(&net("fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = if_inet6(&net("if_inet6")).into_iter().map(IpAddr::V6);
    v4.chain(v6).filter(|address| !address.is_loopback()).collect()
}

/// The local addresses in `/proc/net/fib_trie`: a leaf (`|-- 10.0.0.1`), followed by its type (`/32 host LOCAL`).
fn fib_trie(text: &str) -> HashSet<Ipv4Addr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut found = HashSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.contains("host LOCAL") {
            found.extend(leaf);
        }
    }
    found
}

/// The addresses in `/proc/net/if_inet6`: 32 hexadecimal digits at the start of each line.
fn if_inet6(text: &str) -> HashSet<Ipv6Addr> {
    let addresses = text.lines().filter_map(|line| line.split_whitespace().next());
    addresses
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(Ipv6Addr::from_bits)
        .collect()
}

/// The host name of this node; `None` when it has none that is text.
pub fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// The running kernel's release, such as `6.12.0`.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_told_from_networks() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.1.0.0\n        \
                    /24 link UNICAST\n     |-- 10.1.0.7\n        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link \
                    BROADCAST\n";
        assert_eq!(fib_trie(text), [Ipv4Addr::new(10, 1, 0, 7)].into());
        let text = "fd000090000000000000000000000001 02 40 00 80     eth0\nbroken\n";
        assert_eq!(if_inet6(text), [Ipv6Addr::new(0xfd00, 0x90, 0, 0, 0, 0, 0, 1)].into());
    }

    #[test]
    fn this_node_has_a_network() {
        let own = netns_inode(Path::new("/proc/self/ns/net"));
        assert!(own.is_some());
        // The tests run in the node's own network namespace.
        assert_eq!(host_netns(), own);
    }
}
