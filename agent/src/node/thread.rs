//! A thread: its CPU time.

use std::{fs, time::Duration};

/// The CPU time that a thread has used since it started; `None` when it has exited, or where the kernel does not keep it
/// (`CONFIG_SCHED_INFO`; `Documentation/scheduler/sched-stats.rst`: the first number of `schedstat`, in nanoseconds).
pub fn cpu_time(process: u32, thread: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_uses_time() {
        let process = std::process::id();
        let before = cpu_time(process, process);
        assert!(before.is_some(), "this kernel keeps it");
        assert_eq!(cpu_time(process, u32::MAX >> 1), None);
    }
}
