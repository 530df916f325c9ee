//! Creation and removal of cgroups, so that a container that lived between two ticks can still be identified.

use crate::{
    maps::{CGROUPS, is_counting, lost},
    sock::load,
};
use agent_common::{CGROUP_PATH, CgroupEvent, Loss};
use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::null;

/// `trace_cgroup_mkdir(struct cgroup *cgrp, const char *path)`
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    if is_counting() {
        let _ = send(ctx.arg(0), ctx.arg(1));
    }
    0
}

/// `trace_cgroup_rmdir(struct cgroup *cgrp, const char *path)`
#[btf_tracepoint(function = "cgroup_rmdir")]
fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    if is_counting() {
        let _ = send(ctx.arg(0), null());
    }
    0
}

/// Sends the event; `path` is null for a removed cgroup.
#[inline(always)]
fn send(cgroup: *const u8, path: *const u8) -> Result<(), ()> {
    let root: *const u8 = load!(cgroup, cgroup_root);
    let hierarchy: i32 = load!(root, root_hierarchy);
    // Cgroups of cgroup v1 hierarchies have ids of their own, and own no sockets.
    if hierarchy != 0 {
        return Ok(());
    }
    let node: *const u8 = load!(cgroup, cgroup_kn);
    let id: u64 = load!(node, kn_id);
    let Some(mut event) = CGROUPS.reserve::<CgroupEvent>(0) else {
        lost(Loss::CgroupEvents);
        return Err(());
    };
    let to = event.as_mut_ptr();
    // SAFETY: `to` is the reserved space; the helper writes no more bytes than it is given, and checks its reads.
    unsafe {
        (*to).id = id;
        (*to).made = u32::from(!path.is_null());
        (*to).length = if path.is_null() {
            0
        } else {
            bpf_probe_read_kernel_str((&raw mut (*to).path).cast(), CGROUP_PATH as u32, path.cast()) as u32
        };
    }
    event.submit(0);
    Ok(())
}
