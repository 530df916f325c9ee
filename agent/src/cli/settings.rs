//! Settings of the agent as flags and variables: they come before the configuration file.

use crate::{
    config::{Config, Mode, Scope},
    duration,
};
use anyhow::Context as _;
use clap::{Args, builder::BoolishValueParser};
use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, time::Duration};
use tracing_subscriber::EnvFilter;

/// The flags of `narrows agent` and `narrows check`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
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
    /// Time between two ticks, from 50ms to 1h; a number without a unit is in seconds [default: 5s]
    #[arg(long, env = "NARROWS_INTERVAL", value_name = "DURATION", value_parser = duration::parse_or_seconds)]
    interval: Option<Duration>,
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
    /// The configuration file with the flags over it.
    ///
    /// # Errors
    /// When the file cannot be read, or a value is not possible.
    pub fn config(&self) -> anyhow::Result<Config> {
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

    /// Starts the log on stderr.
    ///
    /// # Errors
    /// When the filter of `--log` cannot be parsed.
    pub fn log(&self) -> anyhow::Result<()> {
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
