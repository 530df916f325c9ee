//! A real Prometheus, with the rules and alerts of `deploy/prometheus`.

mod api;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{Daemon, Placement};
use crate::{agent, http, tools, wait};

pub use api::{Api, Range, Sample, Series};

/// How long Prometheus may take to start.
const START: Duration = Duration::from_secs(60);

/// An agent to scrape.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The value of the label `node`.
    pub node: &'a str,
    /// The address at which it serves its metrics.
    pub address: SocketAddr,
}

/// Settings of a Prometheus.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Time between two scrapes, and between two evaluations of the rules.
    pub interval: Duration,
    /// The factor by which all times in the rules are divided, to shorten tests: with 10, `[5m]` and `for: 5m` are
    /// 30 s.
    pub hurry: u32,
}

/// A running Prometheus; its data are removed when the guard is dropped.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one on a free port of the loopback, with these files of rules, and returns when it answers.
    pub fn start(targets: &[Target<'_>], rules: &[&Path], options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("narrows-prometheus-").tempdir()?;
        let mut names = Vec::new();
        for rules in rules {
            let text = fs::read_to_string(rules).with_context(|| format!("read {}", rules.display()))?;
            let name = rules.file_name().context("a file has a name")?;
            fs::write(directory.path().join(name), shortened(&text, options.hurry))?;
            names.push(name.to_string_lossy().into_owned());
        }
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration(targets, &names, options.interval))?;
        let address = agent::free_address()?;
        let mut command = Command::new(tools::tool("prometheus")?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let ready = |_: &Path| http::get(address, "/-/ready", "*/*").is_ok_and(|answer| answer.status == 200);
        let daemon = Daemon::start(
            "Prometheus",
            directory,
            &Placement::default(),
            &mut command,
            START,
            ready,
        )?;
        Ok(Self { daemon, address })
    }

    /// The address of its API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its API.
    pub fn api(&self) -> Api {
        Api::at(self.address)
    }

    /// Queries the current value of an expression: an instant vector, or one number.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        self.api().query(expression, None)
    }

    /// The firing alerts, with their annotations added to the labels.
    pub fn firing(&self) -> Result<Vec<BTreeMap<String, String>>> {
        let data = self.api().ask("/api/v1/alerts")?;
        let alerts = data["alerts"].as_array().context("no alerts")?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| {
                let mut all: BTreeMap<String, String> = serde_json::from_value(alert["labels"].clone())?;
                let annotations: BTreeMap<String, String> = serde_json::from_value(alert["annotations"].clone())?;
                all.extend(annotations);
                Ok(all)
            })
            .collect()
    }

    /// Rules that could not be evaluated: their names and errors.
    pub fn broken_rules(&self) -> Result<Vec<(String, String)>> {
        let data = self.api().ask("/api/v1/rules")?;
        let mut broken = Vec::new();
        for group in data["groups"].as_array().context("no groups")? {
            for rule in group["rules"].as_array().context("no rules")? {
                if rule["health"] == "err" {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    broken.push((text(&rule["name"]), text(&rule["lastError"])));
                }
            }
        }
        Ok(broken)
    }

    /// How long the last evaluation of each rule took, in seconds, by its name; the slowest first.
    pub fn evaluation_times(&self) -> Result<Vec<(String, f64)>> {
        let data = self.api().ask("/api/v1/rules")?;
        let groups = data["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let time = |rule: &Value| {
            let name = rule["name"].as_str().context("no name")?;
            let seconds = rule["evaluationTime"].as_f64().context("no time")?;
            Ok((name.to_owned(), seconds))
        };
        let mut times: Vec<_> = rules.map(time).collect::<Result<_>>()?;
        times.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(times)
    }

    /// Waits until an expression has a value, and returns it.
    pub fn wait_for(&self, what: &str, limit: Duration, expression: &str) -> Result<Vec<Sample>> {
        wait::until(what, limit, || {
            self.query(expression).ok().filter(|found| !found.is_empty())
        })
        .with_context(|| format!("{expression} stays empty"))
    }
}

fn configuration(targets: &[Target<'_>], rules: &[String], interval: Duration) -> String {
    let milliseconds = interval.as_millis();
    let mut text = format!(
        "global:\n  scrape_interval: {milliseconds}ms\n  evaluation_interval: {milliseconds}ms\nrule_files: {rules:?}\n\
         scrape_configs:\n  - job_name: narrows\n    static_configs:\n"
    );
    for Target { node, address } in targets {
        let _infallible = writeln!(
            text,
            "      - {{ targets: [\"{address}\"], labels: {{ node: {node} }} }}"
        );
    }
    text
}

/// Divides all times in a file of rules: ranges (`[5m]`, `[1d:10m]`), `for:`, `interval:` and `offset`.
fn shortened(text: &str, by: u32) -> String {
    let mut shortened = String::new();
    let mut rest = text;
    let starts = ["[", "for: ", "interval: ", "offset "];
    while let Some((at, start)) = (starts.iter())
        .filter_map(|start| Some((rest.find(start)?, start)))
        .min()
    {
        let begin = at + start.len();
        shortened.push_str(&rest[..begin]);
        rest = &rest[begin..];
        while let Some((milliseconds, after)) = duration(rest) {
            let _infallible = write!(shortened, "{}ms", milliseconds / u64::from(by));
            rest = after;
            // The step of a subquery.
            match rest.strip_prefix(':') {
                Some(step) => {
                    shortened.push(':');
                    rest = step;
                }
                None => break,
            }
        }
    }
    shortened + rest
}

/// The duration that a text begins with, such as `6d23h30m`, in milliseconds, and what follows it.
fn duration(text: &str) -> Option<(u64, &str)> {
    let (mut total, mut rest) = (None, text);
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest[digits..].chars().next() {
            Some('s') => 1_000,
            Some('m') => 60_000,
            Some('h') => 3_600_000,
            Some('d') => 86_400_000,
            _ => break,
        };
        let Ok(number) = rest[..digits].parse::<u64>() else {
            break;
        };
        total = Some(total.unwrap_or(0) + number * unit);
        rest = &rest[digits + 1..];
    }
    total.map(|total| (total, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_times_of_a_rule_are_shortened_and_nothing_else() {
        let rule = "expr: rate(x[5m]) > 3 and y offset 1h\nfor: 30s\n# [each] for: all\nlist: [1, 2]\n";
        let expected =
            "expr: rate(x[30000ms]) > 3 and y offset 360000ms\nfor: 3000ms\n# [each] for: all\nlist: [1, 2]\n";
        assert_eq!(shortened(rule, 10), expected);
        let rule = "interval: 2m\nexpr: deriv(x[1d:10m] offset 6d23h30m)\n";
        let expected = "interval: 12000ms\nexpr: deriv(x[8640000ms:60000ms] offset 60300000ms)\n";
        assert_eq!(shortened(rule, 10), expected);
    }

    #[test]
    fn targets_carry_their_node() {
        let target = Target {
            node: "one",
            address: SocketAddr::from(([127, 0, 0, 1], 9797)),
        };
        let text = configuration(&[target], &["rules.yaml".into()], Duration::from_secs(1));
        assert!(
            text.contains("- { targets: [\"127.0.0.1:9797\"], labels: { node: one } }\n"),
            "{text}"
        );
        assert!(text.contains("rule_files: [\"rules.yaml\"]\n"), "{text}");
    }
}
