//! Reading `struct task_struct`: a thread, its process and its cgroup.

use crate::{maps::offset, sock::load};
use agent_common::ABSENT;

/// The flag `PF_KTHREAD` (`include/linux/sched.h`).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A pointer to `struct task_struct` whose type and validity the verifier has checked. The programs that use it are loaded only
/// where the kernel has all fields that it reads, except those whose absence is mentioned at a method.
#[derive(Clone, Copy)]
pub(crate) struct Thread(*const u8);

impl Thread {
    /// The thread at `pointer`.
    ///
    /// # Safety
    /// `pointer` is a `struct task_struct` that exists until the program ends: an argument of its hook, whose type the verifier
    /// knows.
    #[inline(always)]
    pub(crate) unsafe fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// Its thread id in the initial PID namespace; 0 for the idle thread of a CPU.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        load!(self.0, task_pid)
    }

    /// The id of its process (`tgid`).
    #[inline(always)]
    pub(crate) fn process(self) -> u32 {
        load!(self.0, task_tgid)
    }

    /// Whether it is ready to run (`TASK_RUNNING`).
    #[inline(always)]
    pub(crate) fn is_ready(self) -> bool {
        let state: u32 = load!(self.0, task_state);
        state == 0
    }

    /// Whether it is running on a CPU.
    #[inline(always)]
    pub(crate) fn runs(self) -> bool {
        let on_cpu: u32 = load!(self.0, task_on_cpu);
        on_cpu != 0
    }

    /// Id of its cgroup in the cgroup2 hierarchy; 0 for a thread of the kernel.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        let flags: u32 = load!(self.0, task_flags);
        if flags & KERNEL_THREAD != 0 {
            return 0;
        }
        let groups: *const u8 = load!(self.0, task_cgroups);
        let cgroup: *const u8 = load!(groups, css_set_dfl_cgrp);
        let node: *const u8 = load!(cgroup, cgroup_kn);
        load!(node, kn_id)
    }

    /// Whether it is throttled because its group has used up its CFS quota (`cpu.max`, `cpu.cfs_quota_us`).
    /// `false` where the kernel has no CFS quotas.
    #[inline(always)]
    pub(crate) fn is_throttled(self) -> bool {
        if offset!(task_cfs_rq) == ABSENT || offset!(cfs_rq_throttle_count) == ABSENT {
            return false;
        }
        let queue: *const u8 = load!(self.0, task_cfs_rq);
        if queue.is_null() {
            return false;
        }
        let count: i32 = load!(queue, cfs_rq_throttle_count);
        count > 0
    }

    /// The address of its process's `struct signal_struct`, which identifies the process.
    #[inline(always)]
    pub(crate) fn signal(self) -> u64 {
        load!(self.0, task_signal)
    }

    /// How its process ended, if this was its last thread: the exit code, with the signal in the low seven bits or the status above
    /// them; and whether the OOM killer chose it.
    #[inline(always)]
    pub(crate) fn end_of_process(self) -> Option<(u32, bool)> {
        let signal: *const u8 = load!(self.0, task_signal);
        let live: i32 = load!(signal, signal_live);
        if live > 0 {
            return None;
        }
        let group: u32 = load!(signal, signal_group_exit_code);
        let code = if group != 0 {
            group
        } else {
            load!(self.0, task_exit_code)
        };
        let oom = if offset!(signal_oom_mm) == ABSENT {
            0
        } else {
            let mm: u64 = load!(signal, signal_oom_mm);
            mm
        };
        Some((code, oom != 0))
    }
}
