//! Programs that a test runs for its own purposes, outside of its workloads.
//!
//! Use these instead of the methods of [`Command`], whose child stays in whatever cgroup a thread of this process has
//! [entered](crate::cgroup::Cgroup::enter) at that moment: it would count as a part of another workload, and be killed with it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{cgroup, fork};

/// Starts a program in the cgroup that this process itself was started in. Use a fresh `command` for each.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let members = cgroup::home().join("cgroup.procs");
    // A process that may not write there has never left this cgroup, as it could not have returned.
    if let Ok(members) = OpenOptions::new().write(true).open(members) {
        // SAFETY: one system call between fork and exec, with a file that was opened before.
        unsafe { command.pre_exec(move || (&members).write_all(b"0")) };
    }
    fork::spawn(command)
}

/// Runs a program to its end, without input, and returns what it has written.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    spawn(command)?.wait_with_output()
}

/// Runs a program to its end and returns its stdout; an error carries its stderr.
pub(crate) fn run(command: &mut Command, input: Option<&str>) -> Result<String> {
    let line = format!("{command:?}");
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).with_context(|| format!("start {line}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // The exit status of a program that exits early is more informative than a broken pipe.
        let _closed = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| line.clone())?;
    ensure!(
        output.status.success(),
        "{line}{}: {}: {}",
        input.map(|input| format!(" with {input:?}")).unwrap_or_default(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
