//! A program that serves until it is ended.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::child::Child;
use super::placement::Placement;
use crate::wait;

/// A running one, with a directory of its own for its configuration, its log and its sockets; killed when the guard goes away.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts `command` and returns when it is `ready`, which has to be within `limit`. `name` is what errors call it.
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

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process, e.g. to hold it up.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Ends it without a word to its peers' applications (SIGKILL); the kernel closes its connections.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill_now()?;
        Ok(())
    }

    /// Ends it as a service manager would (SIGTERM).
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.child.stop()
    }
}
