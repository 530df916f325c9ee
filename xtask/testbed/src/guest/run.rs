//! Runs one test in a separate process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Orders, Report, Test};
use crate::process::Child;
use crate::{command, wait};

/// The file for a test's output. Not a pipe, as a process that outlives its test would keep it open.
const OUTPUT: &str = "/run/output";

/// How much of a test's output is sent to the host, in bytes.
const TOLD: usize = 64 * 1024;

/// How long killed processes may take to exit.
const GONE: Duration = Duration::from_secs(30);

/// Runs a test until it ends or its time is over, and kills all processes that it leaves.
pub(super) fn run(test: &Test, orders: &Orders) -> Result<Report> {
    let file = File::create(OUTPUT).with_context(|| format!("make {OUTPUT}"))?;
    let mut command = Command::new(&test.program);
    command
        .args(["--exact", &test.function])
        .env_clear()
        .envs(orders.environment.iter().cloned())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    let start = Instant::now();
    let child = command::spawn(&mut command).with_context(|| format!("start {}", test.program.display()))?;
    let ended = Child::from(child).ended(orders.limit);
    let seconds = start.elapsed().as_secs_f64();
    let mut output = end_of(Path::new(OUTPUT))?;
    let code = match ended {
        Ok(status) if status.code().is_some() => status.code(),
        Ok(status) => {
            output += &format!("\nended by {status}\n");
            None
        }
        Err(error) => {
            output += &format!("\nended by the guest: {error:#}\n");
            None
        }
    };
    clear()?;
    Ok(Report::Ended {
        name: test.name.clone(),
        code,
        seconds,
        output,
    })
}

/// The end of a text file, starting at a character boundary.
fn end_of(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let from = bytes.len().saturating_sub(TOLD);
    Ok(String::from_utf8_lossy(&bytes[from..]).into_owned())
}

/// Kills every other process of the machine, so that each test starts without leftovers.
fn clear() -> Result<()> {
    wait::until("the processes of a test to exit", GONE, || {
        // -1 is every process but this one, which reaps orphans.
        let _none = kill(Pid::from_raw(-1), Signal::SIGKILL);
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return None,
                Err(Errno::ECHILD) => return Some(()),
                _ => {}
            }
        }
    })
}
