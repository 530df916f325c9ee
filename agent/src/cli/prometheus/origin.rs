//! The flags that say where to ask.

use crate::{
    cli::http::{AgentAddress, Client, Service},
    duration,
    url::Url,
};
use clap::{Args, ValueHint};
use std::time::Duration;

/// Whom to ask: a Prometheus, or one agent.
#[derive(Args, Clone, Debug)]
pub struct Origin {
    /// URL of a Prometheus (or Thanos, or Mimir) that scrapes the agents: covers all of them. Takes precedence over --agent
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    prometheus: Option<Url>,
    #[command(flatten)]
    agent: AgentAddress,
}

impl Origin {
    /// Whether the user has named a Prometheus.
    pub const fn is_prometheus(&self) -> bool {
        self.prometheus.is_some()
    }

    /// A client for whom the user has named.
    ///
    /// # Errors
    /// When the token may not be sent there, or when no CA can be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        match &self.prometheus {
            Some(url) => Client::new(Service::Prometheus, url, &self.agent.access),
            None => self.agent.client(),
        }
    }
}

/// Parses and checks the window of queries.
///
/// # Errors
/// A sentence that says what is expected.
pub fn window(text: &str) -> Result<Duration, String> {
    let window = duration::parse(text)?;
    let (least, most) = (Duration::from_secs(60), Duration::from_secs(365 * 86_400));
    let is_possible = (least..=most).contains(&window) && window.subsec_nanos() == 0;
    is_possible.then_some(window).ok_or_else(|| {
        format!(
            "{text:?} is out of range, expected whole seconds between {} and {}",
            duration::format(least),
            duration::format(most)
        )
    })
}
