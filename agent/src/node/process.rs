//! A process: its parent, start time and threads.

use std::fs;

/// Facts about a process.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The id of its parent process.
    pub parent: u32,
    /// When it started, in clock ticks since boot.
    pub began: u64,
    /// The ids of its threads.
    pub threads: Vec<u32>,
}

/// Reads the facts about a process; `None` when it has exited.
pub fn facts(process: u32) -> Option<Facts> {
    let stat = procfs::process::Process::new(process.cast_signed()).ok()?.stat().ok()?;
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
    Some(Facts {
        parent: stat.ppid.cast_unsigned(),
        began: stat.starttime,
        threads: threads
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect(),
    })
}

/// Whether process ids in `/proc` are those that the kernel programs see: only in the initial PID namespace, which has a fixed
/// inode number (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
pub fn has_the_kernels_numbers() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_threads_and_a_parent() {
        let facts = facts(std::process::id()).expect("it runs");
        assert!(facts.threads.contains(&std::process::id()) && facts.parent > 0 && facts.began > 0);
        assert!(super::facts(u32::MAX >> 1).is_none());
    }
}
