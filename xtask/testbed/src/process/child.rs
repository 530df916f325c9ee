//! A child process that is killed when its guard is dropped.

use std::ops::{Deref, DerefMut};
use std::process::{self, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long a process may take to exit after a signal.
const END: Duration = Duration::from_secs(10);

/// A child process that is killed and reaped when the guard is dropped.
///
/// It also gets SIGKILL when the *thread* that started it ends (`PR_SET_PDEATHSIG`), so start it from the thread
/// that uses it, and not from within [`Netns::run`](crate::netns::Netns::run).
#[derive(Debug)]
pub struct Child(process::Child);

impl Child {
    /// Sends a signal; it is not an error if the process has exited.
    pub fn signal(&self, signal: Signal) {
        let _gone = kill(self.pid(), signal);
    }

    /// The process id of the child.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Sends SIGTERM, then SIGKILL if the process does not exit, and reaps it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM);
        // A paused process would not handle SIGTERM.
        self.signal(Signal::SIGCONT);
        if let Ok(status) = self.ended(END) {
            return Ok(status);
        }
        self.kill_now()
    }

    /// Sends SIGKILL and reaps the process.
    pub fn kill_now(&mut self) -> Result<ExitStatus> {
        self.0.kill().context("SIGKILL to a child")?;
        self.ended(END)
    }

    /// Waits at most `limit` for the process to exit.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("process {} to exit", self.0.id());
        wait::until(&what, limit, || self.0.try_wait().transpose())?.with_context(|| what)
    }
}

impl Deref for Child {
    type Target = process::Child;

    fn deref(&self) -> &process::Child {
        &self.0
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut process::Child {
        &mut self.0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _gone = self.kill_now();
        }
    }
}

impl From<process::Child> for Child {
    fn from(child: process::Child) -> Self {
        Self(child)
    }
}
