//! The Prometheus of the demo: real rules and alerts, in a hurry.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use narrows_testbed::agent::Agent;
use narrows_testbed::prometheus::{Options, Prometheus, Target};

/// The factor by which the times of rules and alerts are divided for the demo.
pub(super) const HURRY: u32 = 20;

/// The interval at which the demo's Prometheus scrapes the agent.
pub(super) const SCRAPE: Duration = Duration::from_secs(1);

/// Starts a Prometheus that scrapes the agent, with the rules and alerts of this checkout.
pub(super) fn start(agent: &Agent) -> Result<Prometheus> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let rules = ["rules.yaml", "alerts.yaml"].map(|name| directory.join(name));
    let target = Target {
        node: "demo",
        address: agent.address(),
    };
    let options = Options {
        interval: SCRAPE,
        hurry: HURRY,
    };
    Prometheus::start(&[target], &[&rules[0], &rules[1]], options)
}
