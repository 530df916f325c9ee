//! Failed connections one by one: what is told of each, how soon, to whom, and what a storm of them costs.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod command;
mod records;
mod storm;
mod stream;

use common::{World, inventory, start_with};
use narrows::failures::{Failure, List};
use narrows_testbed::{agent::Agent, wait, workload::Workload};
use std::time::Duration;

/// A state that a test waits for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller and the waypoint that it calls, watched by an agent.
struct Mesh {
    agent: Agent,
    checkout: Workload,
    waypoint: Workload,
    // Goes last: it holds the network, and the turn.
    _world: World,
}

impl Mesh {
    fn new(arguments: &[&str]) -> Self {
        let world = World::new();
        let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
        let agent = start_with(&inventory(&[&checkout], &[&waypoint]), arguments);
        Self {
            agent,
            checkout,
            waypoint,
            _world: world,
        }
    }
}

/// A list of failures.
fn list(agent: &Agent, query: &str) -> List {
    let json = agent.get_json(&format!("/api/v1/failures?{query}"));
    serde_json::from_value(json).expect("a list of failures")
}

/// Waits until there are `n` failures of this kind.
#[track_caller]
fn awaits(agent: &Agent, query: &str, n: usize) -> Vec<Failure> {
    let mut last = Vec::new();
    let found = wait::until(&format!("{n} failures"), PATIENCE, || {
        last = list(agent, query).failures;
        (last.len() >= n).then_some(())
    });
    found.unwrap_or_else(|error| panic!("{error}, but {last:#?}\n{}", agent.stderr()));
    assert_eq!(last.len(), n, "{last:#?}");
    last
}

/// A configuration file.
fn configuration(contents: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), contents).expect("written");
    file
}
