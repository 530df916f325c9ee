//! Failed calls of `accept`. The hook runs at every system call of the node, so the agent attaches the program only while
//! connections are stuck in a point's accept queue.

use crate::{maps::settings, points, sock::load};
use agent_common::AcceptError;
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_sys_exit(struct pt_regs *regs, long ret)`
#[btf_tracepoint(function = "sys_exit")]
fn accept_error(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result < 0 {
        let _ = failed(ctx.arg(0), -result);
    }
    0
}

#[inline(always)]
fn failed(registers: *const u8, errno: i64) -> Result<(), ()> {
    let error = AcceptError::of(errno).ok_or(())?;
    // The register is wider on some architectures; its low 32 bits are enough.
    let call: u32 = load!(registers, regs_call);
    let calls = settings().accept_calls;
    if call != calls[0] && call != calls[1] {
        return Ok(());
    }
    let task = points::task(bpf_get_current_pid_tgid() as u32).ok_or(())?;
    let counters = points::counters(task.cgroup.get()).ok_or(())?;
    counters.accepts.errors[error as usize % AcceptError::COUNT].add(1);
    Ok(())
}
