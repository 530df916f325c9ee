//! Placement of processes: namespace, cgroup, CPU, priority and limits.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, sched_setaffinity, setns};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Pid;

use super::child::Child;
use super::control::only;
use super::rank::Rank;
use super::start::{start, tie};
use crate::cgroup::{self, Cgroup};
use crate::netns::Netns;

/// The placement of a process; what is not set is inherited from the main thread of this process, whatever other threads have
/// entered meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placement<'a> {
    netns: Option<&'a Netns>,
    cgroup: Option<&'a Cgroup>,
    core: Option<usize>,
    open_files: Option<u64>,
    rank: Rank,
}

impl<'a> Placement<'a> {
    /// In this namespace and this cgroup, where given.
    pub fn new(netns: Option<&'a Netns>, cgroup: Option<&'a Cgroup>) -> Self {
        Self {
            netns,
            cgroup,
            ..Self::default()
        }
    }

    /// On this CPU only, counted from 0.
    #[must_use]
    pub fn core(self, core: usize) -> Self {
        Self {
            core: Some(core),
            ..self
        }
    }

    /// With this limit of open files, which it cannot raise itself.
    #[must_use]
    pub fn open_files(self, limit: u64) -> Self {
        Self {
            open_files: Some(limit),
            ..self
        }
    }

    /// With priority over everything else on the machine, except for others with this setting: measurements between them are hardly
    /// disturbed. Its processes form a session of their own.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self {
            rank: Rank::Ahead,
            ..self
        }
    }

    /// With priority over everything else, including [`Placement::ahead`]: nothing can preempt it (`SCHED_FIFO`) until
    /// [`Child::step_back`] is called.
    #[must_use]
    pub fn first(self) -> Self {
        Self {
            rank: Rank::First,
            ..self
        }
    }

    /// Starts `command` there. The placement stays with `command`: use a fresh one for each process.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.prepare(command)?;
        start(command)
    }

    /// The first half of [`Placement::spawn`]: sets the placement of `command`.
    pub(crate) fn prepare(&self, command: &mut Command) -> Result<()> {
        // `/proc/self` is the main thread, which stays where the process was started.
        let namespace = match self.netns {
            Some(netns) => netns.file().try_clone()?,
            None => File::open("/proc/self/ns/net")?,
        };
        let directory = self
            .cgroup
            .map_or_else(cgroup::home, |cgroup| cgroup.directory().to_owned());
        let members = directory.join("cgroup.procs");
        let members = OpenOptions::new()
            .write(true)
            .open(&members)
            .with_context(|| format!("open {}", members.display()))?;
        let cores = self.core.map(only).transpose()?;
        let (open_files, rank, parent) = (self.open_files, self.rank, Pid::this());
        let enter = move || -> io::Result<()> {
            tie(parent)?;
            keep_only_standard_files()?;
            (&members).write_all(b"0")?;
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            if let Some(cores) = &cores {
                sched_setaffinity(Pid::from_raw(0), cores)?;
            }
            if let Some(limit) = open_files {
                setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
            }
            rank.take()
        };
        // SAFETY: between fork and exec, `enter` only makes system calls (sigprocmask, prctl, getppid, close_range, write,
        // setns, sched_setaffinity, setrlimit, setsid, open, setpriority, sched_setscheduler) and does not allocate on its way.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }
}

/// Starts `command` inside the namespace and the cgroup; where none is given, in those of this process's main thread,
/// whatever other threads have entered meanwhile.
///
/// The placement stays with `command`: use a fresh one for each process.
pub fn spawn(command: &mut Command, netns: Option<&Netns>, cgroup: Option<&Cgroup>) -> Result<Child> {
    Placement::new(netns, cgroup).spawn(command)
}

impl Cgroup {
    /// Starts a process inside the cgroup.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        spawn(command, None, Some(self))
    }
}

/// Closes inherited files at exec: files that the parent of the tests left open would count as those of the new process.
fn keep_only_standard_files() -> io::Result<()> {
    let (first, last) = (3, libc::c_uint::MAX);
    // SAFETY: no file is closed before exec.
    match unsafe { libc::close_range(first, last, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
