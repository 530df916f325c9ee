//! `narrows metrics`: the reference of all metrics.

use super::output::print;
use crate::catalogue;
use clap::{Args, ValueEnum};
use std::process::ExitCode;

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # Every metric in a line
  narrows metrics
  # Those about dependents
  narrows metrics --name dependent
  # The reference page, with labels, caveats and what each metric needs
  narrows metrics --format markdown > metrics.md";

/// List the metrics of the agent
///
/// Writes to stdout every metric that the agent can export, with its type, its labels and its meaning. `narrows check` shows which
/// of them this node offers. Needs no privileges and no agent.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Only metrics with this text in their names
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,

    /// Format of the list
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the reference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each: name, type, labels and help
    Text,
    /// The reference page of the documentation
    Markdown,
}

/// Writes the list of metrics to stdout.
///
/// # Errors
/// When it cannot be written, or there is no such metric.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let families = || catalogue::families().filter(|family| family.name.contains(&options.name));
    anyhow::ensure!(
        families().next().is_some(),
        "no metric has {:?} in its name; `narrows metrics` lists all",
        options.name
    );
    let text = match options.format {
        Format::Text => catalogue::lines(families()),
        Format::Markdown => catalogue::reference(|family| family.name.contains(&options.name)),
    };
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
