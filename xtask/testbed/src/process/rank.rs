//! Scheduling priority of processes when CPU time is short.

use std::fs::File;
use std::io::{self, Write as _};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::setsid;

/// The lowest niceness, which has the greatest weight.
const WEIGHTIEST: &str = "-20";

/// The priority of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Rank {
    #[default]
    Usual,
    Ahead,
    First,
}

impl Rank {
    /// Applies it to this process, with system calls only (setsid, open, write, setpriority, sched_setscheduler).
    pub fn take(self) -> io::Result<()> {
        match self {
            Self::Usual => Ok(()),
            Self::Ahead => go_ahead(),
            Self::First => go_ahead().and_then(|()| go_first()),
        }
    }
}

/// Gives the greatest weight to this process, or to its session where the kernel distributes CPU time among sessions
/// (`CONFIG_SCHED_AUTOGROUP`).
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

/// Gives this process real-time priority (`SCHED_FIFO`).
fn go_first() -> io::Result<()> {
    schedule(libc::SCHED_FIFO, 1)
}

/// Gives this process the lowest priority (`SCHED_IDLE`).
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
