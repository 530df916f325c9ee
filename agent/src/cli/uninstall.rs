//! `narrows uninstall`: removes what agents have left in the kernel.

use crate::{kernel::PINS, uninstall};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// What is to be removed.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Directory of the names of maps and programs
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR", default_value = PINS)]
    pins: PathBuf,
}

/// Removes what agents have left, and says so.
///
/// # Errors
/// An agent still runs, or what the file system says.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    println!("{}", uninstall::run(&options.pins)?);
    Ok(ExitCode::SUCCESS)
}
