//! `narrows uninstall`: removes what agents have left in the kernel.

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

/// Stop counting: detach the kernel programs that an agent has left behind, and free their memory
///
/// An agent that ends leaves its kernel programs to the next one. Without an agent they stop by themselves after 15 minutes; this
/// command removes them at once, with everything that they have counted. Stop the agent first. Needs root, or CAP_BPF and write access
/// to the directory.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Directory of the names of maps and programs, on a BPF file system
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR", default_value = PINS, value_hint = ValueHint::DirPath)]
    pins: PathBuf,
}

/// Removes what agents have left, and says so.
///
/// # Errors
/// An agent still runs, or what the file system says.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    print(uninstall::run(&options.pins)? + "\n")?;
    Ok(ExitCode::SUCCESS)
}
