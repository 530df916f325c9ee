//! Settings of the agent as flags and variables, which take precedence over the configuration file.

use crate::{
    config::{Config, Mode, Scope},
    duration,
};
use clap::{Args, ValueHint, builder::BoolishValueParser};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The flags of `narrows agent` and `narrows check`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Configuration file (YAML); flags and variables take precedence over it
    #[arg(long, env = "NARROWS_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Inventory file (YAML): workloads and enforcement points on this node with their addresses, network namespaces and cgroups;
    /// read again when it changes
    #[arg(long, env = "NARROWS_INVENTORY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    inventory: Option<PathBuf>,
    /// Whether to take identities from the Kubernetes API: auto (in a pod with a service account, or when KUBECONFIG names a
    /// cluster), on or off [default: auto]
    #[arg(
        long,
        env = "NARROWS_KUBERNETES",
        value_enum,
        value_name = "MODE",
        hide_possible_values = true
    )]
    kubernetes: Option<Mode>,
    /// Which identities to read from the Kubernetes API: those of all pods of the cluster, or only those of this node, which is
    /// less load for the API server, but leaves pods on other nodes unknown [default: cluster]
    #[arg(long, env = "NARROWS_IDENTITY_SCOPE", value_enum, value_name = "SCOPE")]
    identity_scope: Option<Scope>,
    /// Name of this node in the cluster [default: the host name]
    #[arg(long, env = "NARROWS_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Trust domain of the mesh's principals [default: taken from the mesh's own objects, else cluster.local]
    #[arg(long, env = "NARROWS_TRUST_DOMAIN", value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// Config map of Istio from which to take the trust domain; the agent's role must allow reading it
    #[arg(long, env = "NARROWS_MESH_CONFIG_MAP", value_name = "NAMESPACE/NAME")]
    mesh_config_map: Option<String>,
    /// Address and port to serve metrics and health on, without TLS or authentication: 0.0.0.0:9797 or [::]:9797 for all addresses
    /// [default: 127.0.0.1:9797]
    #[arg(long, env = "NARROWS_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Address and port to serve the API and the page on, with TLS and credentials as `api` in the configuration file says; one that is
    /// not loopback needs them, or api.anonymous [default: over loopback only, at the port of metrics]
    #[arg(long, env = "NARROWS_API_LISTEN", value_name = "ADDRESS:PORT")]
    api_listen: Option<SocketAddr>,
    /// Where the agents of other nodes serve the API, as [http[s]://]HOST[:PORT], separated by commas: asked when somebody asks this
    /// agent for all nodes. Each address that a name has is an agent, as behind a headless service; names are resolved anew each time.
    /// api.peers in the configuration file has tokens and certificates [default: none]
    #[arg(long, env = "NARROWS_PEERS", value_name = "URL", value_delimiter = ',')]
    peers: Vec<String>,
    /// Time between two ticks, from 50ms to 1h; a number without a unit is in seconds [default: 5s]
    #[arg(long, env = "NARROWS_INTERVAL", value_name = "DURATION", value_parser = duration::parse_or_seconds)]
    interval: Option<Duration>,
    /// Kernel program or kernel field to switch off, by its name in `narrows check`; can be repeated. Signals that need it are then
    /// off, and reported as off, e.g. sched_switch where threads switch so often that the cost matters
    #[arg(long, value_name = "NAME")]
    off: Vec<String>,
    /// Count only while the agent runs. By default, maps and programs are pinned in the BPF file system, and the kernel continues
    /// to count while the agent is restarted or replaced, so that no connection is missed. With this flag, connections that begin
    /// and end meanwhile are not counted, and counters start at 0
    #[arg(long, env = "NARROWS_NO_PIN", value_parser = BoolishValueParser::new())]
    no_pin: bool,
    /// Directory in which maps and programs are pinned, on a BPF file system [default: /sys/fs/bpf/narrows]
    #[arg(long, env = "NARROWS_PINS", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pins: Option<PathBuf>,
    /// Write each failed connection to stdout as a line of JSON; all other logging goes to stderr
    #[arg(long, env = "NARROWS_LOG_FAILURES", value_parser = BoolishValueParser::new())]
    log_failures: bool,
    /// What to log on stderr: error, warn, info, debug, or a filter such as `info,narrows::identity=debug`
    #[arg(long, env = "NARROWS_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

impl Settings {
    /// The configuration file, overridden by the flags.
    ///
    /// # Errors
    /// When the file cannot be read, or a value is out of range.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.api_listen = self.api_listen.or(config.api_listen);
        if !self.peers.is_empty() {
            config.api.peers.addresses.clone_from(&self.peers);
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
}
