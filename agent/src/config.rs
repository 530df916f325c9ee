//! The agent's configuration: a YAML file, overridden by flags and `NARROWS_*` variables.

mod api;
mod peers;
mod sections;

pub use api::{Api, Files};
pub use peers::Peers;
pub use sections::{Bypass, Coverage, Identity, Kernel, Kubernetes, Limits, Metrics, Mode, Points, Scope};

use crate::{
    duration,
    networks::Networks,
    yaml::{self, FileError},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// All settings, with their defaults.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address and port at which metrics and health are served.
    pub listen: SocketAddr,
    /// The address and port at which the API is served; if not set, loopback at the port of `listen`.
    pub api_listen: Option<SocketAddr>,
    /// Who may ask the API at `api_listen`; without it, everybody who can connect.
    pub api: Api,
    /// The time between two ticks.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// The inventory file: workloads and points of this node.
    pub inventory: Option<PathBuf>,
    /// The time without traffic after which a workload no longer is a dependent of a point.
    #[serde(with = "duration")]
    pub dependency_window: Duration,
    /// The time after which an idle flow is removed from the kernel's table.
    #[serde(with = "duration")]
    pub flow_idle: Duration,
    /// Failure events that one flow may send per second.
    pub failure_events_per_second: u32,
    /// Whether each failed connection is written to stdout.
    pub log_failures: bool,
    /// Settings of identities, and how long connections wait for them.
    pub identity: Identity,
    /// Settings of the cluster that this node belongs to.
    pub kubernetes: Kubernetes,
    /// Settings of the kernel programs.
    pub kernel: Kernel,
    /// Limits of tables and series.
    pub limits: Limits,
    /// Settings of the recognition of points.
    pub points: Points,
    /// Named ranges of addresses outside the cluster (`10.20.0.0/16`), by name.
    pub networks: BTreeMap<String, Vec<String>>,
    /// What counts as a bypass.
    pub bypass: Bypass,
    /// How much is exported.
    pub metrics: Metrics,
    /// Which nodes of the cluster are to have an agent.
    pub coverage: Coverage,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9797)),
            api_listen: None,
            api: Api::default(),
            interval: Duration::from_secs(5),
            inventory: None,
            dependency_window: Duration::from_secs(900),
            flow_idle: Duration::from_secs(60),
            failure_events_per_second: 10,
            log_failures: false,
            identity: Identity::default(),
            kubernetes: Kubernetes::default(),
            kernel: Kernel::default(),
            limits: Limits::default(),
            points: Points::default(),
            networks: BTreeMap::new(),
            bypass: Bypass::default(),
            metrics: Metrics::default(),
            coverage: Coverage::default(),
        }
    }
}

impl Config {
    /// Reads a configuration file; without a file, returns the defaults.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown field or an invalid value.
    pub fn read(file: Option<&Path>) -> Result<Self, FileError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let config: Self = yaml::read(file)?;
        config.validate().map_err(|what| FileError {
            file: file.to_owned(),
            line: None,
            what,
        })?;
        Ok(config)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), String> {
        let within = |field: &str, value: Duration, from: u64, to: u64| {
            let [from, to] = [from, to].map(Duration::from_millis);
            let [shown, least, most] = [value, from, to].map(duration::format);
            (from..=to)
                .contains(&value)
                .then_some(())
                .ok_or_else(|| format!("{field} is {shown}, but must be between {least} and {most}"))
        };
        within("interval", self.interval, 50, 3_600_000)?;
        within("dependency_window", self.dependency_window, 1_000, 86_400_000)?;
        within("flow_idle", self.flow_idle, 100, 86_400_000)?;
        within("identity.wait", self.identity.wait, 0, 600_000)?;
        within("identity.settle", self.identity.settle, 0, 60_000)?;
        let count = |field: &str, value: usize, to: usize| {
            (1..=to)
                .contains(&value)
                .then_some(())
                .ok_or_else(|| format!("{field} is {value}, but must be between 1 and {to}"))
        };
        count("limits.flows", self.limits.flows as usize, 1 << 22)?;
        count("limits.flows_per_owner", self.limits.flows_per_owner as usize, 1 << 22)?;
        count("limits.sockets", self.limits.sockets as usize, 1 << 26)?;
        count("limits.dependents", self.limits.dependents, 100_000)?;
        count("limits.points", self.limits.points, 100_000)?;
        count("limits.pairs", self.limits.pairs, 100_000)?;
        count("limits.pods", self.limits.pods, 10_000_000)?;
        count("limits.waiting", self.limits.waiting, 10_000_000)?;
        count("limits.cgroups", self.limits.cgroups, 10_000_000)?;
        count("metrics.sidecars", self.metrics.sidecars, 100_000)?;
        self.kernel.validate()?;
        self.api.validate(self.listen, self.api_listen)?;
        count("limits.failure_events", self.limits.failure_events, 1_000_000)?;
        let mut rules = self.points.rules.iter().enumerate();
        rules.try_for_each(|(n, rule)| rule.validate().map_err(|what| format!("points.rules[{n}] {what}")))?;
        let mut exclusions = self.bypass.exclude.iter().enumerate();
        exclusions.try_for_each(|(n, one)| one.validate().map_err(|what| format!("bypass.exclude[{n}] {what}")))?;
        Networks::new(&self.networks).map(drop)
    }

    /// The number of readings without a change after which a flow is removed from the kernel's table.
    pub fn idle_readings(&self) -> u32 {
        // At least two, so that a flow is not removed in the tick after its last count.
        self.flow_idle.div_duration_f64(self.interval).ceil().clamp(2.0, 1e9) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Detail, points::Kind};

    fn parse(text: &str) -> Result<Config, FileError> {
        yaml::parse(Path::new("config.yaml"), text)
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("# nothing\n").expect("valid");
        assert_eq!(config.listen.port(), 9797);
        assert_eq!(config.idle_readings(), 12);
    }

    #[test]
    fn the_example_is_valid_and_its_values_are_the_defaults() {
        let example = parse(include_str!("../../deploy/systemd/config.yaml")).expect("valid");
        example.validate().expect("possible values");
        let default = Config {
            inventory: example.inventory.clone(),
            points: example.points.clone(),
            ..Config::default()
        };
        assert_eq!(
            serde_json::to_value(&example).expect("JSON"),
            serde_json::to_value(&default).expect("JSON")
        );
    }

    #[test]
    fn unknown_fields_are_named_with_their_line() {
        let error = parse("interval: 1\nlimits:\n  flow: 3\n").expect_err("no such field");
        assert_eq!(error.line, Some(3), "{error}");
        assert!(error.to_string().contains("flow"), "{error}");
    }

    #[test]
    fn durations_have_units_or_are_in_seconds() {
        let text = "interval: 250ms\ndependency_window: '1h30m'\nflow_idle: 90\nidentity: { wait: 0.5, settle: 1m }\n";
        let config = parse(text).expect("valid");
        let found = [
            config.interval,
            config.dependency_window,
            config.flow_idle,
            config.identity.wait,
            config.identity.settle,
        ];
        assert_eq!(found.map(|it| it.as_millis()), [250, 5_400_000, 90_000, 500, 60_000]);
        for (text, what) in [
            (
                "listen: 127.0.0.1:1\ninterval: 5 parsecs\n",
                "\"5 parsecs\" is not a valid duration, e.g. 90s, 1h30m or 7d",
            ),
            ("\ninterval: -1\n", "-1 is not a valid duration, e.g. 90s, 1h30m or 7d"),
            (
                "\ninterval: -0.5\n",
                "-0.5 is not a valid duration, e.g. 90s, 1h30m or 7d",
            ),
            (
                "\ninterval: [1s]\n",
                "a duration, e.g. 90s, 1h30m or 7d, or a number of seconds",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, Some(2), "{error}");
            assert!(error.what.contains(what), "{error}");
        }
    }

    #[test]
    fn networks_exclusions_and_details_are_read() {
        let text = "networks: { rds: [10.20.0.0/16, 'fd00::/8'] }\n\
                    bypass: { exclude: [{ namespace: monitoring, port: 9090 }], exclude_infrastructure: false }\n\
                    metrics: { detail: points, kinds: { sidecar: minimal, east_west_gateway: full }, sidecars: 5 }\n\
                    listen: '[::]:9797'\napi_listen: '[::1]:9798'\n";
        let config = parse(text).expect("valid");
        config.validate().expect("possible values");
        assert_eq!(config.networks["rds"].len(), 2);
        assert_eq!(config.bypass.exclude[0].port, Some(9090));
        assert!(!config.bypass.exclude_infrastructure);
        assert_eq!(config.metrics.kinds[&Kind::EastWestGateway], Detail::Full);
        assert_eq!(config.api_listen.map(|address| address.port()), Some(9798));
    }

    #[test]
    fn what_is_wrong_with_networks_exclusions_and_details_is_named_with_file_and_field() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let name = file.path().display().to_string();
        for (text, line, expected) in [
            (
                "networks: { rds: [10.20.0.0/40] }\n",
                "",
                "networks.rds: \"10.20.0.0/40\" is not an address range",
            ),
            (
                "networks: { a: [10.0.0.0/8], b: [10.0.0.0/8] }\n",
                "",
                "networks.b: 10.0.0.0/8 is a range of networks.a already",
            ),
            (
                "bypass: { exclude: [{ port: 1 }, {}] }\n",
                "",
                "bypass.exclude[1] needs namespace, workload or port",
            ),
            ("bypass:\n  exclude: [{ prot: 1 }]\n", ":2", "unknown field `prot`"),
            ("metrics:\n  detail: some\n", ":2", "unknown variant `some`"),
            ("metrics:\n  kinds: { proxy: full }\n", ":2", "unknown variant `proxy`"),
            (
                "metrics: { sidecars: 0 }\n",
                "",
                "metrics.sidecars is 0, but must be between 1 and 100000",
            ),
            ("\napi_listen: nowhere\n", ":2", "invalid socket address syntax"),
        ] {
            std::fs::write(file.path(), text).expect("written");
            let error = Config::read(Some(file.path())).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("{name}{line}: {expected}")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        let config = parse("interval: 0\n").expect("valid YAML");
        let error = config.validate().expect_err("too small");
        assert_eq!(error, "interval is 0s, but must be between 50ms and 1h");
        let config = parse("flow_idle: 2d\n").expect("valid YAML");
        let error = config.validate().expect_err("too large");
        assert_eq!(error, "flow_idle is 2d, but must be between 100ms and 1d");
        let config = parse("limits: { flows: 0 }\n").expect("valid YAML");
        assert!(config.validate().expect_err("too small").contains("limits.flows"));
    }
}
