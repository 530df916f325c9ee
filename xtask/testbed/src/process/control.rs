//! Control of a running process: pause it, pin it to a CPU, limit its open files.

use std::time::Duration;
use std::{fs, io, ptr};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::child::Child;
use crate::wait;

/// How long the threads of a process may take to stop or to continue.
const HELD_UP: Duration = Duration::from_secs(5);

impl Child {
    /// Pauses it (SIGSTOP), and returns when all its threads have stopped. The kernel continues to complete handshakes for it.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP);
        self.until_each("to stop", |state| state == 'T')
    }

    /// Resumes it (SIGCONT), and returns when its threads have continued.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT);
        self.until_each("to continue", |state| state != 'T')
    }

    /// Pins all its threads to one CPU, and so the processes that they start.
    pub fn pin(&self, core: usize) -> Result<()> {
        let cores = only(core)?;
        for thread in self.threads()? {
            sched_setaffinity(thread, &cores).with_context(|| format!("pin thread {thread} to CPU {core}"))?;
        }
        Ok(())
    }

    /// Reduces its priority from [first](super::Placement::first) to [ahead](super::Placement::ahead).
    pub fn step_back(&self) -> Result<()> {
        let none = libc::sched_param { sched_priority: 0 };
        for thread in self.threads()? {
            // SAFETY: `none` outlives the call.
            if unsafe { libc::sched_setscheduler(thread.as_raw(), libc::SCHED_OTHER, &raw const none) } != 0 {
                return Err(io::Error::last_os_error())
                    .with_context(|| format!("reduce the priority of thread {thread}"));
            }
        }
        Ok(())
    }

    /// Sets its soft limit of open files; files that it has open stay open. The limit can be raised again, also by the process
    /// itself.
    pub fn limit_open_files(&self, limit: u64) -> Result<()> {
        // The hard limit is kept, as even root may not be allowed to raise it again.
        self.open_files(None)
            .and_then(|old| self.open_files(Some(libc::rlimit { rlim_cur: limit, ..old })))
            .with_context(|| format!("limit the open files of process {} to {limit}", self.id()))?;
        Ok(())
    }

    /// Returns the current limits, and replaces them by `new` if given.
    fn open_files(&self, new: Option<libc::rlimit>) -> io::Result<libc::rlimit> {
        let mut old = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: both pointers are null or to locals that outlive the call.
        match unsafe { libc::prlimit(self.pid().as_raw(), libc::RLIMIT_NOFILE, new, &raw mut old) } {
            0 => Ok(old),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn until_each(&self, what: &str, holds: impl Fn(char) -> bool) -> Result<()> {
        let what = format!("process {} {what}", self.id());
        wait::until(&what, HELD_UP, || {
            let threads = self.threads().ok()?;
            // A thread that has exited meanwhile is ignored.
            let mut states = threads.into_iter().filter_map(|thread| self.state(thread));
            states.all(&holds).then_some(())
        })
    }

    fn threads(&self) -> Result<Vec<Pid>> {
        let directory = format!("/proc/{}/task", self.id());
        let entries = fs::read_dir(&directory).with_context(|| format!("threads in {directory}"))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(names.map(Pid::from_raw).collect())
    }

    /// The state of a thread, as the letter that `ps` shows.
    fn state(&self, thread: Pid) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/task/{thread}/stat", self.id())).ok()?;
        // The name before it may contain any characters, including parentheses.
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

/// A set that contains one CPU.
pub(super) fn only(core: usize) -> Result<CpuSet> {
    let mut cores = CpuSet::new();
    cores.set(core).with_context(|| format!("processor {core}"))?;
    Ok(cores)
}
