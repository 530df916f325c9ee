//! `narrows agent`: counts connections and serves what it has counted.

use super::settings::Settings;
use anyhow::anyhow;
use clap::Args;
use std::{io::IsTerminal as _, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # On a virtual machine, with workloads and proxies named in a file
  narrows agent --inventory /etc/narrows/inventory.yaml
  # On a Kubernetes node, where Prometheus can reach it
  narrows agent --kubernetes on --node worker-1 --listen 0.0.0.0:9797
  # With a configuration file, and each failed connection as a line of JSON on stdout
  narrows agent --config /etc/narrows/config.yaml --log-failures
  # For a short look, without leaving anything in the kernel
  narrows agent --no-pin --interval 1s --log info,narrows::identity=debug";

/// Count connections and serve metrics until SIGTERM or SIGINT
///
/// Counts every TCP connection of this node in the kernel, attributes connections to workloads and enforcement points, and serves
/// /metrics, /healthz, /readyz, /api/v1/status and /api/v1/failures. Identities come from Kubernetes or from an inventory file.
/// Needs root, or CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to recognise proxies by their processes; `narrows check` shows what
/// is missing.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    #[command(flatten)]
    settings: Settings,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When a setting is wrong, or when the kernel or the node lacks what nothing works without.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let settings = &options.settings;
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| {
        anyhow!(
            "cannot parse the log filter {:?} given with --log: {error}",
            settings.log
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    crate::daemon::run(&settings.config()?)?;
    Ok(ExitCode::SUCCESS)
}
