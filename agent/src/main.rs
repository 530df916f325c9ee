//! The command line of Narrows.

use anyhow::Context;
use clap::{Args, Parser, Subcommand, builder::BoolishValueParser};
use narrows::{
    client,
    config::{Config, Mode, Scope},
    kernel::PINS,
    report,
};
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
    /// Needs root, or CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to recognise points by their processes. Serves /metrics, /healthz, /readyz, /api/v1/status and /api/v1/failures.
    Agent(Settings),
    /// Say what this kernel and these privileges allow.
    ///
    /// Loads every kernel program for a moment. Exit code 1 when something is missing that nothing works without.
    Check(Settings),
    /// Show failed connections one by one: when, why, who called whom, at which point.
    ///
    /// Asks a running agent, which keeps the newest 10,000 failures of its node. Needs no privileges.
    #[command(after_long_help = FAILURES_HELP)]
    Failures(client::Options),
    /// Say on one page where policy lives, where traffic is observed, and where failures will concentrate.
    ///
    /// Asks a Prometheus that scrapes the agents, or a single agent. Needs no privileges. Exit code 1 when there is nothing to report on.
    #[command(after_long_help = REPORT_HELP)]
    Report(report::Options),
    /// Stop counting: detach all kernel programs that an agent has left behind, and free their memory.
    ///
    /// An agent that ends leaves its programs to the next one. They stop by themselves after 15 minutes without an agent, and this
    /// removes them at once, with all that they have counted. Needs root, or CAP_BPF and the rights of the directory's owner.
    Uninstall(Uninstall),
}

#[derive(Args)]
struct Uninstall {
    /// Directory of the names of maps and programs
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR", default_value = PINS)]
    pins: PathBuf,
}

const REPORT_HELP: &str = "\
Examples:
  narrows report                                             what the agent of this node knows
  narrows report --prometheus http://prometheus:9090         all nodes, the last 24 hours
  narrows report --prometheus https://… --token-file T --window 7d --format html --output report.html
  narrows report --format json | jq '.findings.ranking[0]'   for programs

Sections: where policy lives (workload, mode, points), where traffic is observed (attribution, blind spots), where failures will \
concentrate (points by dependents without another way out, saturation and missing redundancy), what if one of them fails, what passes \
policy by; and an appendix that maps the figures to controls of NIST CSF 2.0, OWASP NHI Top 10, CSA MAESTRO and NIST AI RMF, each with \
the query that gives it. What nobody has measured is said to be not known.";

const FAILURES_HELP: &str = "\
Examples:
  narrows failures                                      what the agent of this node has
  narrows failures -f --point shop/waypoint             whatever fails at a point, within a second
  narrows failures --workload shop/checkout --since 5m  what went wrong for a workload lately
  narrows failures --json | jq -r .reason | sort | uniq -c
  kubectl -n narrows exec POD -- narrows failures -f    on a node of a cluster

Columns:
  SEEN BY  self: a socket of the point itself; client: of who called it; -: no point is concerned
  POINT    the point that the failure is about
  FROM     who called, with its address; \"A via P\" is the proxy P in the name of A
  TO       who was called
  DETAILS  how long the connection had been known, and what it carried

Who cannot be identified within half a second is shown as unknown. When a flow fails more than ten times in a second, \
the others are only counted (failure_events_per_second in the agent's configuration), and a sentence on stderr says how \
many.";

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
    /// A kernel program or kernel field, as `narrows check` names them, that is not to be used; may be given again. What it
    /// is for is off then, visibly. For instance `--off sched_switch` where threads change so often that the cost matters.
    #[arg(long, value_name = "NAME")]
    off: Vec<String>,
    /// Let the kernel count only while the agent runs. Without this, maps and programs have names in the BPF file system: the
    /// kernel goes on counting while the agent is restarted or replaced, and no connection is missed; with it, connections that
    /// begin and end meanwhile are not counted, and counters begin at 0.
    #[arg(long, env = "NARROWS_NO_PIN", value_parser = BoolishValueParser::new())]
    no_pin: bool,
    /// Directory for these names, on a BPF file system [default: /sys/fs/bpf/narrows]
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR")]
    pins: Option<PathBuf>,
    /// Write each failed connection to stdout, as a line of JSON; everything else that is logged goes to stderr
    #[arg(long, env = "NARROWS_LOG_FAILURES", value_parser = BoolishValueParser::new())]
    log_failures: bool,
    /// What to log, on stderr: error, warn, info, debug, or a filter such as `info,narrows::identity=debug`
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
        config.log_failures |= self.log_failures;
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
        config.kernel.off.extend_from_slice(&self.off);
        config.kernel.pin &= !self.no_pin;
        if let Some(pins) = &self.pins {
            config.kernel.pins.clone_from(pins);
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
        Command::Failures(options) => client::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Report(options) => report::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Uninstall(options) => narrows::uninstall::run(&options.pins).map(|said| {
            println!("{said}");
            ExitCode::SUCCESS
        }),
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
