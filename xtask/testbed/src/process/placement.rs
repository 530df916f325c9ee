//! Where a process runs, and with what.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid, setsid};

use super::{Child, start};
use crate::cgroup::{self, Cgroup};
use crate::netns::Netns;
use crate::workload::Workload;

/// The lowest niceness.
const WEIGHTIEST: &str = "-20";

/// Where a process is to run, and with what; what is not said is as in this process itself, whatever its threads have
/// entered meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placement<'a> {
    netns: Option<&'a Netns>,
    cgroup: Option<&'a Cgroup>,
    core: Option<usize>,
    open_files: Option<u64>,
    rank: Rank,
}

/// Whom it goes before.
#[derive(Debug, Clone, Copy, Default)]
enum Rank {
    #[default]
    Usual,
    Ahead,
    First,
}

impl<'a> From<&'a Workload> for Placement<'a> {
    fn from(workload: &'a Workload) -> Self {
        Self::new(Some(&workload.netns), Some(&workload.cgroup))
    }
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

    /// On this processor only, counted from 0.
    #[must_use]
    pub fn core(self, core: usize) -> Self {
        Self {
            core: Some(core),
            ..self
        }
    }

    /// With at most so many open files, which it cannot raise itself.
    #[must_use]
    pub fn open_files(self, limit: u64) -> Self {
        Self {
            open_files: Some(limit),
            ..self
        }
    }

    /// Ahead of what else the machine does, and on a par with others that are: whatever is measured between them is hardly
    /// disturbed. Its processes are a session of their own.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self {
            rank: Rank::Ahead,
            ..self
        }
    }

    /// Before everything else, also before what is [`Placement::ahead`]: nobody can disturb it (`SCHED_FIFO`), until it is told to
    /// [step back](Child::step_back).
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

    /// The first half of [`Placement::spawn`]: says where `command` is to run.
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
            match rank {
                Rank::Usual => Ok(()),
                Rank::Ahead => go_ahead(),
                Rank::First => go_ahead().and_then(|()| go_first()),
            }
        };
        // SAFETY: between fork and exec, `enter` only makes system calls (sigprocmask, prctl, getppid, close_range, write,
        // setns, sched_setaffinity, setrlimit, setsid, open, setpriority, sched_setscheduler) and does not allocate on its way.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }
}

/// A child's own side: it is open to signals, and ends with its parent.
pub(super) fn tie(parent: Pid) -> io::Result<()> {
    // A thread that waits for signals blocks them, and a child would inherit that and not end when asked to.
    SigSet::empty().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("the parent ended first"));
    }
    Ok(())
}

/// Whoever runs the tests may have left files open, which would count as those of what is started.
fn keep_only_standard_files() -> io::Result<()> {
    let (first, last) = (3, libc::c_uint::MAX);
    // SAFETY: closes nothing before exec.
    match unsafe { libc::close_range(first, last, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this process, or its session where the kernel shares the processor among sessions (`CONFIG_SCHED_AUTOGROUP`), the
/// greatest weight.
fn go_ahead() -> io::Result<()> {
    setsid()?;
    match open(c"/proc/self/autogroup", OFlag::O_WRONLY, Mode::empty()) {
        Ok(file) => File::from(file).write_all(WEIGHTIEST.as_bytes())?,
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // SAFETY: a plain system call on the calling process.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes this process one that gives way to nothing but others of its kind.
fn go_first() -> io::Result<()> {
    schedule(libc::SCHED_FIFO, 1)
}

/// Makes this process one that gives way to everything else.
pub(super) fn go_last() -> io::Result<()> {
    schedule(libc::SCHED_IDLE, 0)
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let priority = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `priority` outlives the call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The set of one processor.
pub(super) fn only(core: usize) -> Result<CpuSet> {
    let mut cores = CpuSet::new();
    cores.set(core).with_context(|| format!("processor {core}"))?;
    Ok(cores)
}
