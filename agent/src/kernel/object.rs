//! The kernel object: the compiled programs, which are part of the agent's binary, and the maps that they use.

use anyhow::{Context, bail};
use aya::{Ebpf, maps::Map};
use std::os::fd::{AsFd, OwnedFd};

pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NARROWS_EBPF_OBJECT"));

/// Takes a map out of the loaded object.
///
/// # Errors
/// The object has no map of that name.
pub fn take(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the kernel object has no map {name}"))
}

/// The descriptor of a hash map: aya's own type does not expose one.
///
/// # Errors
/// It is another kind of map.
pub fn descriptor(map: &Map) -> anyhow::Result<OwnedFd> {
    match map {
        Map::HashMap(data) => Ok(data.fd().as_fd().try_clone_to_owned()?),
        _ => bail!("a table of the kernel object is not a hash map"),
    }
}

/// Number of CPUs that per-CPU maps have values for.
///
/// # Errors
/// The kernel does not report its CPUs.
pub fn processors() -> anyhow::Result<usize> {
    aya::util::nr_cpus().map_err(|(what, error)| anyhow::anyhow!("cannot read {what}: {error}"))
}
