//! Who depends on a point and how much, who is reached through it, what passes it by: by real connections. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod boundary;
mod bounds;
mod cluster;
mod hbone;
mod prometheus;
mod shares;
mod top;
mod ztunnels;

use narrows_testbed::{
    agent::Agent,
    haproxy::{self, Frontend, Haproxy},
    load::{Behaviour, Plan, Server},
    process::Placement,
    prometheus::{Options, Prometheus, Target},
    scrape::Metrics,
    workload::Workload,
};
use std::{fs, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// An agent with an inventory and a configuration of its own.
struct Watched {
    agent: Agent,
    _files: TempDir,
}

impl Watched {
    fn start(inventory: &str, configuration: &str) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let file = files.path().join("config.yaml");
        fs::write(&file, configuration).expect("written");
        let agent = common::start_with(inventory, &["--config", &file.display().to_string()]);
        Self { agent, _files: files }
    }
}

/// `n` connections, all answered.
#[track_caller]
fn call(from: &Workload, to: SocketAddr, n: u64) {
    assert_eq!(from.run(|| Plan::burst(to, n).run()).ok, n);
}

/// Answers.
fn serve(at: &Workload, address: SocketAddr) -> Server {
    at.run(|| Server::start(address, Behaviour::default()))
        .expect("it listens")
}

/// A proxy in front of one server.
fn proxy(place: &Placement<'_>, address: SocketAddr, upstream: SocketAddr) -> Haproxy {
    let front = Frontend {
        address,
        upstreams: vec![upstream],
        by_path: false,
    };
    Haproxy::start(place, &[front], &haproxy::Options::default()).expect("a real proxy")
}

/// A real Prometheus with the rules and alerts, which scrapes the agents of these nodes. Scrapes are half a second apart, and all times
/// in the rules a thirtieth of what they are.
fn watch<'a>(agents: impl IntoIterator<Item = (&'a str, &'a Agent)>) -> Prometheus {
    let target = |(node, agent): (&'a str, &'a Agent)| Target {
        node,
        address: agent.address(),
    };
    let targets: Vec<_> = agents.into_iter().map(target).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let [rules, alerts] = ["rules.yaml", "alerts.yaml"].map(|file| directory.join(file));
    let options = Options {
        interval: Duration::from_millis(500),
        hurry: 30,
    };
    Prometheus::start(&targets, &[&rules, &alerts], options).expect("a real Prometheus")
}

/// One series, as text that is easy to compare: `None` when it is not there.
fn rounded(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> Option<String> {
    metrics.get(name, labels).map(|value| format!("{value:.3}"))
}
