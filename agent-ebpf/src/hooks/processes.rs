//! The processes of points: their threads, starts and exits.

use crate::{points, task::Thread};
use agent_common::{Exit, Task as Flags};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    macros::{btf_tracepoint, map},
    maps::LruHashMap,
    programs::BtfTracePointContext,
};

/// Processes that have exited, by their `struct signal_struct` and id. Before Linux 6.16 the tracepoint runs after the thread has
/// released its memory, so several threads of a process may find that no live thread is left; only the first one counts.
#[map]
static ENDED: LruHashMap<Ended, u64> = LruHashMap::with_max_entries(1_024, 0);

/// Identifies a process that has exited.
#[repr(C)]
struct Ended {
    signal: u64,
    process: u64,
}

/// Signals that end a process against its will (`include/uapi/asm-generic/signal.h`): SIGABRT, SIGBUS, SIGKILL, SIGSEGV.
const VIOLENT: u32 = 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11;

/// `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`: also for a thread.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own arguments.
        let (parent, child) = unsafe { (Thread::new(ctx.arg(0)), Thread::new(ctx.arg(1))) };
        let _ = begun(parent, child);
    }
    0
}

#[inline(always)]
fn begun(parent: Thread, child: Thread) -> Result<(), ()> {
    let parent = points::task(parent.number()).ok_or(())?;
    let process = child.process();
    let main = if process == parent.process.get() {
        parent.flags.get() & Flags::MAIN
    } else {
        0
    };
    // Its number may still have the entry of a thread whose exit was not seen.
    insert(child.number(), parent.cgroup.get(), process, main, BPF_ANY)
}

#[inline(always)]
fn insert(number: u32, cgroup: u64, process: u32, flags: u32, how: u32) -> Result<(), ()> {
    let task = points::insert(number, how).ok_or(())?;
    task.cgroup.set(cgroup);
    task.process.set(process);
    task.flags.set(flags);
    Ok(())
}

/// `trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: a process that was put into
/// the cgroup of a point runs its program.
#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let _ = executed(unsafe { Thread::new(ctx.arg(0)) }, ctx.arg(1));
    }
    0
}

#[inline(always)]
fn executed(thread: Thread, former_number: u32) -> Result<(), ()> {
    let number = thread.number();
    if points::task(number).is_some() {
        return Ok(());
    }
    // When a thread other than the main one calls `exec`, it takes over the id of the process.
    if let Some(task) = points::task(former_number) {
        let (cgroup, process, flags) = (task.cgroup.get(), task.process.get(), task.flags.get());
        points::forget(former_number);
        return insert(number, cgroup, process, flags & Flags::MAIN, BPF_ANY);
    }
    let cgroup = thread.cgroup();
    let counters = points::counters(cgroup).ok_or(())?;
    let mains = points::mains(cgroup).ok_or(())?;
    // Processes that enter the cgroup later are not the point's own, such as commands of exec probes.
    let main = if mains.get() == 0 { Flags::MAIN } else { 0 };
    // If the agent registers it at the same time, one of the two counts its start.
    insert(number, cgroup, thread.process(), main, BPF_NOEXIST)?;
    if main != 0 {
        mains.add(1);
        counters.processes.starts.add(1);
    }
    Ok(())
}

/// `trace_sched_process_exit(struct task_struct *p[, bool group_dead])`: also for a thread.
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let _ = ended(unsafe { Thread::new(ctx.arg(0)) });
    }
    0
}

#[inline(always)]
fn ended(thread: Thread) -> Result<(), ()> {
    let number = thread.number();
    let task = points::task(number).ok_or(())?;
    let (cgroup, process, flags) = (task.cgroup.get(), task.process.get(), task.flags.get());
    points::forget(number);
    let (code, oom) = thread.end_of_process().ok_or(())?;
    let process = Ended {
        signal: thread.signal(),
        process: u64::from(process),
    };
    ENDED.insert(&process, &0, u64::from(BPF_NOEXIST)).map_err(|_| ())?;
    let signal = code & 0x7f;
    let how = match signal {
        _ if oom => Exit::OomKilled,
        0 => Exit::Exited,
        _ => Exit::Killed,
    };
    let main = flags & Flags::MAIN != 0;
    if main && let Some(mains) = points::mains(cgroup) {
        mains.add(u64::MAX);
    }
    // Exits of helper processes that the point started count only when they are violent.
    if main || oom || (1_u32 << (signal & 31)) & VIOLENT != 0 {
        let counters = points::counters(cgroup).ok_or(())?;
        counters.processes.exits[how as usize].add(1);
    }
    Ok(())
}
