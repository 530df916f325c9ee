//! The processes of points: which threads they have, when they begin, and how they end.

use crate::{
    atomic::add,
    maps::lost,
    points::{self, MAINS, TASKS},
    task::Thread,
};
use agent_common::{Exit, Loss, Task};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// Signals that end a process against its will (`include/uapi/asm-generic/signal.h`): SIGABRT, SIGBUS, SIGKILL, SIGSEGV.
const VIOLENT: u32 = 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11;

/// `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`: also for a thread.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        let _ = begun(Thread(ctx.arg(0)), Thread(ctx.arg(1)));
    }
    0
}

#[inline(always)]
fn begun(parent: Thread, child: Thread) -> Result<(), ()> {
    let parent = points::task(parent.number()).ok_or(())?;
    let process = child.process();
    let main = if process == parent.process {
        parent.flags & Task::MAIN
    } else {
        0
    };
    insert(child.number(), parent.cgroup, process, main)
}

#[inline(always)]
fn insert(number: u32, cgroup: u64, process: u32, flags: u32) -> Result<(), ()> {
    let task = Task {
        cgroup,
        ready_ns: 0,
        read_ns: 0,
        read_from: 0,
        process,
        flags,
    };
    if TASKS.insert(&number, &task, 0).is_err() {
        lost(Loss::Threads);
        return Err(());
    }
    Ok(())
}

/// `trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: a process that was put into
/// the cgroup of a point runs its program.
#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        let _ = executed(Thread(ctx.arg(0)), ctx.arg(1));
    }
    0
}

#[inline(always)]
fn executed(thread: Thread, former_number: u32) -> Result<(), ()> {
    let number = thread.number();
    if points::task(number).is_some() {
        return Ok(());
    }
    // A thread that replaces its whole process takes over the number of the process.
    if let Some(task) = points::task(former_number) {
        let task = *task;
        let _ = TASKS.remove(&former_number);
        return insert(number, task.cgroup, task.process, task.flags & Task::MAIN);
    }
    let cgroup = thread.cgroup();
    let counters = points::counters(cgroup).ok_or(())?;
    let mains = MAINS.get_ptr_mut(&cgroup).ok_or(())?;
    // SAFETY: map values live until the program ends (RCU); updates are atomic.
    let mains = unsafe { &mut *mains };
    // Others that enter later are guests, such as the commands of probes.
    let main = if *mains == 0 { Task::MAIN } else { 0 };
    insert(number, cgroup, thread.process(), main)?;
    if main != 0 {
        add(mains, 1);
        add(&mut counters.starts, 1);
    }
    Ok(())
}

/// `trace_sched_process_exit(struct task_struct *p[, bool group_dead])`: also for a thread.
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        let _ = ended(Thread(ctx.arg(0)));
    }
    0
}

#[inline(always)]
fn ended(thread: Thread) -> Result<(), ()> {
    let number = thread.number();
    let task = *points::task(number).ok_or(())?;
    let _ = TASKS.remove(&number);
    let (code, oom) = thread.end_of_process().ok_or(())?;
    let signal = code & 0x7f;
    let how = match signal {
        _ if oom => Exit::OomKilled,
        0 => Exit::Exited,
        _ => Exit::Killed,
    };
    let main = task.flags & Task::MAIN != 0;
    if main && let Some(mains) = MAINS.get_ptr_mut(&task.cgroup) {
        // SAFETY: as above.
        add(unsafe { &mut *mains }, u64::MAX);
    }
    // What the point started itself may end as it likes, but not by force.
    if main || oom || (1_u32 << (signal & 31)) & VIOLENT != 0 {
        let counters = points::counters(task.cgroup).ok_or(())?;
        add(&mut counters.exits[how as usize], 1);
    }
    Ok(())
}
