//! Starting a child that dies with its parent.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};

use super::child::Child;
use super::rank::go_last;
use crate::fork;

/// Starts `command` with the placement of this process; needs no privileges.
pub fn start_beside(command: &mut Command) -> Result<Child> {
    let parent = Pid::this();
    let tie = move || tie(parent);
    // SAFETY: between fork and exec, `tie` only makes system calls (sigprocmask, prctl, getppid) and does not allocate on its way.
    unsafe { command.pre_exec(tie) };
    start(command)
}

/// Starts `command` with the placement of this process, but with the lowest priority (`SCHED_IDLE`), which its children inherit.
pub fn start_behind(command: &mut Command) -> Result<Child> {
    let parent = Pid::this();
    let give_way = move || tie(parent).and_then(|()| go_last());
    // SAFETY: between fork and exec, `give_way` only makes system calls (sigprocmask, prctl, getppid, sched_setscheduler) and does
    // not allocate on its way.
    unsafe { command.pre_exec(give_way) };
    start(command)
}

/// The second half of [`Placement::spawn`](super::Placement::spawn).
pub(crate) fn start(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = fork::spawn(command).with_context(|| format!("start {program}"))?;
    Ok(child.into())
}

/// Runs in the child: unblocks signals, and lets it die with its parent.
pub(super) fn tie(parent: Pid) -> io::Result<()> {
    // A thread that waits for signals blocks them; a child would inherit that and ignore SIGTERM.
    SigSet::empty().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("the parent ended first"));
    }
    Ok(())
}
