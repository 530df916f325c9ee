//! How long threads of points wait for a CPU (run-queue delay), and what runs instead.
//!
//! A thread is ready from the moment when it is woken up, or preempted, until it runs. The delay alone does not distinguish a noisy
//! neighbour from a point that has used up its own CFS quota; what ran instead does.

use crate::{
    points::{self, Tallies, Task, observe, tallies, tally},
    task::Thread,
};
use agent_common::{Loss, Task as Flags};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map},
    programs::BtfTracePointContext,
};

/// What ran while a thread of a point was ready to run, by its cgroup2 cgroup id; 0 for kernel threads.
#[map]
static PREEMPTIONS: Tallies = tallies();

/// In nanoseconds. A thread that is woken up while another one runs either preempts it at once, or has to wait; below this delay it
/// did not wait.
const AT_ONCE_NS: u64 = 100_000;

/// `trace_sched_wakeup(struct task_struct *p)`: a sleeping thread becomes ready to run.
#[btf_tracepoint(function = "sched_wakeup")]
fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let _ = woken(unsafe { Thread::new(ctx.arg(0)) });
    }
    0
}

/// `trace_sched_wakeup_new(struct task_struct *p)`: a thread runs for the first time.
#[btf_tracepoint(function = "sched_wakeup_new")]
fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let _ = woken(unsafe { Thread::new(ctx.arg(0)) });
    }
    0
}

#[inline(always)]
fn woken(thread: Thread) -> Result<(), ()> {
    let task = points::task(thread.number()).ok_or(())?;
    // A thread that is woken up before it has gone to sleep keeps running.
    if task.ready_ns.get() != 0 || thread.runs() {
        return Ok(());
    }
    // SAFETY: no arguments.
    task.ready_ns.set(unsafe { bpf_ktime_get_ns() });
    task.flags
        .set(task.flags.get() & Flags::MAIN | Flags::WOKEN | throttled(thread));
    Ok(())
}

#[inline(always)]
fn throttled(thread: Thread) -> u32 {
    if thread.is_throttled() { Flags::THROTTLED } else { 0 }
}

/// `trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next[, unsigned int prev_state])`
#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    if !points::are_here() {
        return 0;
    }
    // SAFETY: the hook's own arguments.
    let (before, after) = unsafe { (Thread::new(ctx.arg(1)), Thread::new(ctx.arg(2))) };
    let (last, next) = (before.number(), after.number());
    // The idle threads have the id 0.
    if next != 0
        && let Some(task) = points::task(next)
    {
        begins(task, after, before, last);
    }
    if last != 0
        && before.is_ready()
        && let Some(task) = points::task(last)
    {
        interrupted(task, before, after, next);
    }
    0
}

/// A thread of a point starts to run on a CPU.
#[inline(always)]
fn begins(task: &Task, thread: Thread, before: Thread, last: u32) {
    let ready_ns = task.ready_ns.get();
    if ready_ns == 0 {
        return;
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let waited = now.saturating_sub(ready_ns);
    task.ready_ns.set(0);
    let flags = task.flags.get() | throttled(thread);
    task.flags.set(flags & Flags::MAIN);
    let cgroup = task.cgroup.get();
    let Some(counters) = points::counters(cgroup) else {
        return;
    };
    observe(
        &counters.scheduling.run_queue,
        &counters.scheduling.run_queue_ns,
        waited,
    );
    // It waited for the thread that ran just before.
    if flags & Flags::WOKEN != 0 && flags & Flags::THROTTLED == 0 && waited >= AT_ONCE_NS && last != 0 {
        preempted(cgroup, before.cgroup());
    }
}

/// A thread of a point is preempted, or yields: it is still ready to run.
#[inline(always)]
fn interrupted(task: &Task, thread: Thread, after: Thread, next: u32) {
    // SAFETY: no arguments.
    task.ready_ns.set(unsafe { bpf_ktime_get_ns() });
    let throttled = throttled(thread);
    task.flags.set(task.flags.get() & Flags::MAIN | throttled);
    if throttled == 0 && next != 0 {
        preempted(task.cgroup.get(), after.cgroup());
    }
}

/// Counts that a thread of the cgroup `by` ran while one of `point` was ready to run.
#[inline(always)]
fn preempted(point: u64, by: u64) {
    tally(&PREEMPTIONS, point, by, Loss::Preemptions);
}
