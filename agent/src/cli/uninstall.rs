//! `narrows uninstall`: removes the pinned programs and maps of earlier agents.

use super::output::print;
use crate::{kernel::PINS, uninstall};
use clap::{Args, ValueHint};
use std::{path::PathBuf, process::ExitCode};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # After the agent was stopped for good
  narrows uninstall
  # What an agent with a directory of its own has left
  narrows uninstall --pins /sys/fs/bpf/narrows-canary";

/// Stop counting: detach the kernel programs that an agent has pinned, and free their memory
///
/// When an agent exits, its pinned kernel programs continue to count for the next one. Without an agent they stop by themselves
/// after 15 minutes; this command removes them at once, with everything that they have counted. Stop the agent first. Needs root,
/// or CAP_BPF and write access to the directory.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Directory in which maps and programs are pinned, on a BPF file system
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR", default_value = PINS, value_hint = ValueHint::DirPath)]
    pins: PathBuf,
}

/// Removes the pinned programs and maps, and prints the result.
///
/// # Errors
/// An agent still runs, or the directory cannot be removed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    print(uninstall::run(&options.pins)? + "\n")?;
    Ok(ExitCode::SUCCESS)
}
