//! The agent's configuration: a YAML file, overridden by flags and `NARROWS_*` variables.

use crate::{
    points::Rule,
    yaml::{self, FileError},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// All settings, with their defaults.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Seconds between two ticks.
    pub interval: f64,
    /// Who is who on this node, without Kubernetes.
    pub inventory: Option<PathBuf>,
    /// Seconds without traffic after which a workload is no dependent of a point any more.
    pub dependency_window: f64,
    /// Seconds after which an idle flow is taken out of the kernel's table.
    pub flow_idle: f64,
    /// Failure events that one flow may send in a second.
    pub failure_events_per_second: u32,
    /// Bounds.
    pub limits: Limits,
    /// How points are recognised.
    pub points: Points,
}

/// Bounds of tables; each has a gauge and a counter of what it turned away.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Flows in the kernel's table.
    pub flows: u32,
    /// Dependents of a point that have series of their own.
    pub dependents: usize,
    /// Points with series.
    pub points: usize,
}

/// How points are recognised.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Points {
    /// The user's own rules; they come before the built-in ones.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9797)),
            interval: 5.0,
            inventory: None,
            dependency_window: 900.0,
            flow_idle: 60.0,
            failure_events_per_second: 10,
            limits: Limits::default(),
            points: Points::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            dependents: 200,
            points: 1_000,
        }
    }
}

impl Config {
    /// Reads a configuration file; without one, the defaults.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown field or an impossible value.
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
        let within = |field: &str, value: f64, from: f64, to: f64| {
            (from..=to)
                .contains(&value)
                .then_some(())
                .ok_or_else(|| format!("{field} is {value}, but must lie between {from} and {to} seconds"))
        };
        within("interval", self.interval, 0.05, 3600.0)?;
        within("dependency_window", self.dependency_window, 1.0, 86_400.0)?;
        within("flow_idle", self.flow_idle, 0.1, 86_400.0)?;
        let count = |field: &str, value: usize, to: usize| {
            (1..=to)
                .contains(&value)
                .then_some(())
                .ok_or_else(|| format!("{field} is {value}, but must lie between 1 and {to}"))
        };
        count("limits.flows", self.limits.flows as usize, 1 << 22)?;
        count("limits.dependents", self.limits.dependents, 100_000)?;
        count("limits.points", self.limits.points, 100_000)
    }

    /// Time between two ticks.
    pub fn tick(&self) -> Duration {
        Duration::from_secs_f64(self.interval)
    }

    /// Collections without news after which the kernel retires a flow.
    pub fn idle_collections(&self) -> u32 {
        // At least two, so that a flow is not retired in the tick after its last count.
        (self.flow_idle / self.interval).ceil().clamp(2.0, 1e9) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, FileError> {
        yaml::parse(Path::new("config.yaml"), text)
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("# nothing\n").expect("valid");
        assert_eq!(config.listen.port(), 9797);
        assert_eq!(config.idle_collections(), 12);
    }

    #[test]
    fn unknown_fields_are_named_with_their_line() {
        let error = parse("interval: 1\nlimits:\n  flow: 3\n").expect_err("no such field");
        assert_eq!(error.line, Some(3), "{error}");
        assert!(error.to_string().contains("flow"), "{error}");
    }

    #[test]
    fn impossible_values_are_refused() {
        let config = parse("interval: 0\n").expect("valid YAML");
        assert!(config.validate().expect_err("too small").starts_with("interval is 0"));
        let config = parse("limits: { flows: 0 }\n").expect("valid YAML");
        assert!(config.validate().expect_err("too small").contains("limits.flows"));
    }
}
