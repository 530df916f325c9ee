//! What can be done to a process that runs: hold it up, move it to one processor, bound its files.

use std::time::Duration;
use std::{fs, io, ptr};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::child::Child;
use crate::wait;

/// How long the threads of a process may take to stop or to go on.
const HELD_UP: Duration = Duration::from_secs(5);

impl Child {
    /// Holds it up (SIGSTOP), and returns when none of its threads runs any more. The kernel goes on accepting for it.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP);
        self.until_each("to stop", |state| state == 'T')
    }

    /// Lets it go on (SIGCONT), and returns when it does.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT);
        self.until_each("to go on", |state| state != 'T')
    }

    /// Moves all its threads to one processor, and so what they start.
    pub fn pin(&self, core: usize) -> Result<()> {
        let cores = only(core)?;
        for thread in self.threads()? {
            sched_setaffinity(thread, &cores).with_context(|| format!("pin thread {thread} to processor {core}"))?;
        }
        Ok(())
    }

    /// From now on it is only [ahead](super::Placement::ahead), when it was [first](super::Placement::first).
    pub fn step_back(&self) -> Result<()> {
        let none = libc::sched_param { sched_priority: 0 };
        for thread in self.threads()? {
            // SAFETY: `none` outlives the call.
            if unsafe { libc::sched_setscheduler(thread.as_raw(), libc::SCHED_OTHER, &raw const none) } != 0 {
                return Err(io::Error::last_os_error()).with_context(|| format!("let thread {thread} step back"));
            }
        }
        Ok(())
    }

    /// Lets it open a file only while it has fewer than `limit`; those that it has already stay open. This can be taken back,
    /// also by itself.
    pub fn limit_open_files(&self, limit: u64) -> Result<()> {
        // The hard limit stays: not every root may raise it again.
        self.open_files(None)
            .and_then(|old| self.open_files(Some(libc::rlimit { rlim_cur: limit, ..old })))
            .with_context(|| format!("limit the open files of process {} to {limit}", self.id()))?;
        Ok(())
    }

    /// The limits so far; they are replaced by `new`.
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
            // A thread that has ended meanwhile holds nobody up.
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

    /// The letter by which `ps` calls what a thread does.
    fn state(&self, thread: Pid) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/task/{thread}/stat", self.id())).ok()?;
        // The name before it may hold anything, also parentheses.
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

/// The set of one processor.
pub(super) fn only(core: usize) -> Result<CpuSet> {
    let mut cores = CpuSet::new();
    cores.set(core).with_context(|| format!("processor {core}"))?;
    Ok(cores)
}
