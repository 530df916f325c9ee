//! `narrows agent`: counts connections and serves what it has counted.

use super::settings::Settings;
use std::process::ExitCode;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When a setting is wrong, or when the kernel or the node lacks what nothing works without.
pub fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    settings.log()?;
    crate::agent::run(&settings.config()?)?;
    Ok(ExitCode::SUCCESS)
}
