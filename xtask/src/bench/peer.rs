//! An existing program for a part of what the agent does, for comparison: `tcplife`, which prints a line for each connection.

use super::programs;
use crate::{
    system::{apt::Apt, family::Family},
    workspace::find_program,
};
use anyhow::{Context as _, Result, bail};
use narrows_testbed::{process, wait};
use nix::mount::{MsFlags, mount};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The Debian package that contains it.
const PACKAGE: &str = "libbpf-tools";

/// The path of tcplife, if it is installed.
pub(crate) fn find() -> Option<PathBuf> {
    find_program("tcplife")
}

/// The path of tcplife, which is installed if it is missing.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn install() -> Result<PathBuf> {
    if let Some(program) = find() {
        return Ok(program);
    }
    let packages = [PACKAGE.to_owned()];
    if Family::here() != Family::Debian || !Apt::here().knows(&packages)? {
        bail!("tcplife is missing, and apt does not know {PACKAGE}: install tcplife of libbpf-tools");
    }
    println!("  installing the package {PACKAGE}, for tcplife");
    Apt::here().install(&packages)?;
    find().with_context(|| format!("{PACKAGE} is installed, but does not contain tcplife"))
}

/// Starts it, and returns when it is attached.
///
/// # Errors
/// It does not start, or attaches nothing.
pub(crate) fn start(program: &Path) -> Result<process::Child> {
    // It looks up its tracepoint in tracefs, which may not be mounted; this mounts it for this process and its children.
    let tracefs = Path::new("/sys/kernel/tracing");
    if !tracefs.join("events").exists() {
        mount(
            Some("tracefs"),
            tracefs,
            Some("tracefs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("cannot mount tracefs")?;
    }
    // Programs of the previous subject may still be being unloaded.
    let before = programs::costs()?;
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = process::spawn(&mut command, None, None)?;
    wait::until("tcplife to attach", Duration::from_secs(10), || {
        let costs = programs::costs().ok()?;
        costs.keys().any(|id| !before.contains_key(id)).then_some(())
    })?;
    Ok(child)
}
