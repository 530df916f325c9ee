//! A server program that runs until it is stopped.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::child::Child;
use super::placement::Placement;
use crate::wait;

/// A running server program, with a directory for its configuration, its log and its sockets; killed when the guard is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts `command` and returns when it is `ready`, which must be within `limit`. Errors use `name`.
    pub fn start(
        name: &str,
        directory: TempDir,
        place: &Placement<'_>,
        command: &mut Command,
        limit: Duration,
        ready: impl Fn(&Path) -> bool,
    ) -> Result<Self> {
        let log = File::create(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut daemon = Self {
            child: place.spawn(command)?,
            directory,
        };
        let outcome = wait::until(&format!("{name} to be ready"), limit, || {
            match daemon.child.try_wait() {
                Ok(Some(status)) => Some(Err(status)),
                _ => ready(daemon.directory.path()).then_some(Ok(())),
            }
        });
        match outcome {
            Ok(Ok(())) => Ok(daemon),
            Ok(Err(status)) => bail!("{name} ended ({status}):\n{}", daemon.log()),
            Err(error) => Err(error.context(daemon.log())),
        }
    }

    /// The directory of its configuration, log and sockets.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process, e.g. to pause it.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Kills it (SIGKILL); the kernel closes its connections.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill_now()?;
        Ok(())
    }

    /// Stops it as a service manager would (SIGTERM).
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.child.stop()
    }
}
