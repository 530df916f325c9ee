//! The command line: one module a command, and what several of them share.

mod agent;
mod check;
mod failures;
mod http;
mod report;
mod settings;
mod uninstall;

use clap::{Parser, Subcommand};
use settings::Settings;
use std::process::ExitCode;

/// Node telemetry for the enforcement points of service meshes.
///
/// Watches every TCP connection of this node from inside the kernel, and exports for each shared proxy (ztunnel,
/// waypoint, gateway, zone proxy) its load, its failures and the workloads that depend on it.
#[derive(Parser)]
#[command(name = "narrows", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count connections and serve the metrics until SIGTERM.
    ///
    /// Needs root, or CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to recognise points by their processes. Serves /metrics, /healthz, /readyz, /api/v1/status and /api/v1/failures.
    Agent(Settings),
    /// Say what this kernel and these privileges allow.
    ///
    /// Loads every kernel program for a moment. Exit code 1 when something is missing that nothing works without.
    Check(Settings),
    /// Show failed connections one by one: when, why, who called whom, at which point.
    ///
    /// Asks a running agent, which keeps the newest 10,000 failures of its node. Needs no privileges.
    #[command(after_long_help = failures::HELP)]
    Failures(failures::Options),
    /// Say on one page where policy lives, where traffic is observed, and where failures will concentrate.
    ///
    /// Asks a Prometheus that scrapes the agents, or a single agent. Needs no privileges. Exit code 1 when there is nothing to report on.
    #[command(after_long_help = report::HELP)]
    Report(report::Options),
    /// Stop counting: detach all kernel programs that an agent has left behind, and free their memory.
    ///
    /// An agent that ends leaves its programs to the next one. They stop by themselves after 15 minutes without an agent, and this
    /// removes them at once, with all that they have counted. Needs root, or CAP_BPF and the rights of the directory's owner.
    Uninstall(uninstall::Options),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// What the command could not do, with a sentence that says what to do about it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Agent(settings) => agent::run(&settings),
            Command::Check(settings) => check::run(&settings),
            Command::Failures(options) => failures::run(&options),
            Command::Report(options) => report::run(&options),
            Command::Uninstall(options) => uninstall::run(&options),
        }
    }
}
