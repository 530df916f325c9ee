//! Child processes that are placed somewhere, that can be held up, and that cannot outlive their parent.

mod control;
mod daemon;
mod placement;

use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use daemon::Daemon;
pub use placement::Placement;

use crate::cgroup::Cgroup;
use crate::netns::Netns;
use crate::wait;

/// How long a process may take to end after a signal.
const END: Duration = Duration::from_secs(10);

/// A child process that is killed and reaped when the guard goes away.
///
/// It also gets SIGKILL when the *thread* that started it ends (`PR_SET_PDEATHSIG`), so start it from the thread
/// that uses it, and not from within [`Netns::run`].
#[derive(Debug)]
pub struct Child(process::Child);

impl Child {
    /// Sends a signal; a process that is already gone is no error.
    pub fn signal(&self, signal: Signal) {
        let _gone = kill(self.pid(), signal);
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Asks the process to end (SIGTERM), makes it (SIGKILL) when it does not, and reaps it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM);
        // One that is held up would not notice.
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

    /// Waits at most `limit` for the process to end.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("process {} to end", self.0.id());
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

/// Starts `command` inside the namespace and the cgroup; where none is given, in those of this process itself,
/// whatever its threads have entered meanwhile.
///
/// The placement stays with `command`: use a fresh one for each process.
pub fn spawn(command: &mut Command, netns: Option<&Netns>, cgroup: Option<&Cgroup>) -> Result<Child> {
    Placement::new(netns, cgroup).spawn(command)
}

/// Starts `command` where this process is, as anybody may.
pub fn start_beside(command: &mut Command) -> Result<Child> {
    let parent = Pid::this();
    let tie = move || placement::tie(parent);
    // SAFETY: between fork and exec, `tie` only makes system calls (sigprocmask, prctl, getppid) and does not allocate on its way.
    unsafe { command.pre_exec(tie) };
    start(command)
}

/// Starts `command` where this process is, to run whenever nothing else wants the processor (`SCHED_IDLE`), with all that it starts.
pub fn start_behind(command: &mut Command) -> Result<Child> {
    let parent = Pid::this();
    let give_way = move || placement::tie(parent).and_then(|()| placement::go_last());
    // SAFETY: between fork and exec, `give_way` only makes system calls (sigprocmask, prctl, getppid, sched_setscheduler) and does
    // not allocate on its way.
    unsafe { command.pre_exec(give_way) };
    start(command)
}

/// The second half of [`Placement::spawn`].
pub(crate) fn start(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().with_context(|| format!("start {program}"))?;
    Ok(Child(child))
}

/// Runs a program to its end and returns its stdout; an error carries its stderr.
pub(crate) fn output(command: &mut Command, input: Option<&str>) -> Result<String> {
    use std::process::Stdio;

    let line = format!("{command:?}");
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {line}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that ends early shows in its status, which says more than a broken pipe.
        let _closed = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| line.clone())?;
    anyhow::ensure!(
        output.status.success(),
        "{line}{}: {}: {}",
        input.map(|input| format!(" with {input:?}")).unwrap_or_default(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
