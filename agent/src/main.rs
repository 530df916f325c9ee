//! The command line of Narrows.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use narrows::config::{Config, Mode, Scope};
use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// Node telemetry for the enforcement points of service meshes.
///
/// Watches every TCP connection of this node from inside the kernel, and exports for each shared proxy (ztunnel,
/// waypoint, gateway, zone proxy) its load, its failures and the workloads that depend on it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count connections and serve the metrics until SIGTERM.
    ///
    /// Needs root, or CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to recognise points by their processes. Serves /metrics, /healthz, /readyz and /api/v1/status.
    Agent(Settings),
    /// Say what this kernel and these privileges allow.
    ///
    /// Loads every kernel program for a moment. Exit code 1 when something is missing that nothing works without.
    Check(Settings),
}

#[derive(Args)]
struct Settings {
    /// Configuration file (YAML); flags and variables come before it.
    #[arg(long, env = "NARROWS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who is who on this node (YAML): workloads and points with their addresses, network namespaces and cgroups.
    /// Read again when it changes.
    #[arg(long, env = "NARROWS_INVENTORY", value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Whether to read the objects of the Kubernetes cluster: in a pod with a service account or when KUBECONFIG names a
    /// cluster (auto), always (on), never (off) [default: auto]
    #[arg(
        long,
        env = "NARROWS_KUBERNETES",
        value_enum,
        value_name = "MODE",
        hide_possible_values = true
    )]
    kubernetes: Option<Mode>,
    /// Whose identities are known: those of all pods of the cluster, or only those of this node's; what is on other nodes
    /// then stays unknown, and the API server has less to send [default: cluster]
    #[arg(long, env = "NARROWS_IDENTITY_SCOPE", value_enum, value_name = "SCOPE")]
    identity_scope: Option<Scope>,
    /// This node's name in the cluster [default: its host name]
    #[arg(long, env = "NARROWS_NODE", value_name = "NAME")]
    node: Option<String>,
    /// The trust domain of the mesh's principals [default: what the mesh's own objects say, else cluster.local]
    #[arg(long, env = "NARROWS_TRUST_DOMAIN", value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// Istio's config map, to take the trust domain from; the agent's role must allow to read it
    #[arg(long, env = "NARROWS_MESH_CONFIG_MAP", value_name = "NAMESPACE/NAME")]
    mesh_config_map: Option<String>,
    /// Where to serve HTTP [default: 127.0.0.1:9797]
    #[arg(long, env = "NARROWS_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Seconds between two ticks [default: 5]
    #[arg(long, env = "NARROWS_INTERVAL", value_name = "SECONDS")]
    interval: Option<f64>,
    /// What to log: error, warn, info, debug, or a filter such as `info,narrows::failures=debug`, which logs every
    /// failed connection.
    #[arg(long, env = "NARROWS_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
}

impl Settings {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(interval) = self.interval {
            config.interval = interval;
        }
        if let Some(inventory) = &self.inventory {
            config.inventory = Some(inventory.clone());
        }
        if let Some(mode) = self.kubernetes {
            config.kubernetes.mode = mode;
        }
        if let Some(scope) = self.identity_scope {
            config.kubernetes.scope = scope;
        }
        let given = [
            (&self.node, &mut config.kubernetes.node),
            (&self.mesh_config_map, &mut config.kubernetes.mesh_config_map),
            (&self.trust_domain, &mut config.identity.trust_domain),
        ];
        for (flag, setting) in given {
            if flag.is_some() {
                setting.clone_from(flag);
            }
        }
        config.validate().map_err(anyhow::Error::msg)?;
        Ok(config)
    }

    fn log(&self) -> anyhow::Result<()> {
        let filter =
            EnvFilter::try_new(&self.log).with_context(|| format!("--log: {:?} is no log filter", self.log))?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
        Ok(())
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Agent(settings) => agent(&settings),
        Command::Check(settings) => check(&settings),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("narrows: {error:#}");
        ExitCode::FAILURE
    })
}

fn agent(settings: &Settings) -> anyhow::Result<ExitCode> {
    settings.log()?;
    narrows::agent::run(&settings.config()?)?;
    Ok(ExitCode::SUCCESS)
}

fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (table, complete) = narrows::check::run(&settings.config()?);
    print!("{table}");
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
