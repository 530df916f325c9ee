//! The kernel object: the compiled programs, which the agent carries with it, and the maps that they make.

use anyhow::Context;
use aya::{Ebpf, maps::Map};

pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NARROWS_EBPF_OBJECT"));

/// Takes a map out of the loaded object.
///
/// # Errors
/// There is none of that name.
pub fn take(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the kernel object has no map {name}"))
}

/// Processors that per-processor maps have room for.
///
/// # Errors
/// The kernel does not show its processors.
pub fn processors() -> anyhow::Result<usize> {
    aya::util::nr_cpus().map_err(|(what, error)| anyhow::anyhow!("cannot read {what}: {error}"))
}
