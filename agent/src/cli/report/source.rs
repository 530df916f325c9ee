//! The source of the facts: a Prometheus, or one agent.

use super::facts::Fact;
use crate::{
    cli::{
        http::Client,
        output::remark,
        prometheus::{self, Origin, Sample},
    },
    clock, duration,
};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// The source of a report, or of a policy.
pub enum Source {
    /// A Prometheus, with a window of time.
    Prometheus {
        /// The client to query it with.
        client: Client,
        /// How far to look back.
        window: Duration,
    },
    /// A single agent, by its `/metrics`.
    Agent {
        /// The client to query it with.
        client: Client,
    },
}

/// What a report states about its source.
#[derive(Clone, Debug)]
pub struct About {
    /// The service and its address.
    pub source: String,
    /// When the report was made, in UTC.
    pub written: String,
    /// The time that the report covers.
    pub window: String,
    /// What cannot be known from this source.
    pub limits: Vec<&'static str>,
    /// The window of queries in the appendix; `None` when the source cannot be queried.
    pub queries: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus { client, .. } | Self::Agent { client } => client.fmt(f),
        }
    }
}

/// After this time, the progress is reported on stderr.
const QUIET: Duration = Duration::from_secs(3);

impl Source {
    /// Whom the user has named, with the window that a Prometheus is asked about. Nothing is sent yet.
    ///
    /// # Errors
    /// When the token may not be sent there, or when no CA can be read.
    pub fn of(origin: &Origin, window: Duration) -> anyhow::Result<Self> {
        let client = origin.client()?;
        Ok(match origin.is_prometheus() {
            true => Self::Prometheus { client, window },
            false => Self::Agent { client },
        })
    }

    /// Gets all samples of these facts.
    ///
    /// # Errors
    /// When the source does not answer, or not as expected.
    pub async fn samples(&self, facts: &[Fact]) -> anyhow::Result<Vec<Sample>> {
        match self {
            Self::Agent { client } => {
                let samples = prometheus::scrape(client).await?;
                Ok(samples
                    .into_iter()
                    .filter(|sample| facts.iter().any(|fact| fact.series == sample.series))
                    .collect())
            }
            Self::Prometheus { client, window } => {
                let begin = Instant::now();
                let mut all = Vec::new();
                for (n, fact) in facts.iter().enumerate() {
                    if begin.elapsed() > QUIET {
                        remark(format_args!("querying {} ({} of {})", fact.series, n + 1, facts.len()));
                    }
                    all.extend(prometheus::query(client, fact.series, &fact.query(*window)).await?);
                }
                Ok(all)
            }
        }
    }

    /// What the report states about this source.
    pub fn about(&self) -> About {
        match self {
            Self::Prometheus { window, .. } => About {
                source: self.to_string(),
                written: clock::rfc3339(clock::now()),
                window: format!("the last {}", duration::format(*window)),
                limits: vec![
                    "Shares are those of the agents' own sliding window (15 minutes by default), at the last scrape.",
                ],
                queries: Some(duration::format(*window)),
            },
            Self::Agent { .. } => About {
                source: self.to_string(),
                written: clock::rfc3339(clock::now()),
                window: "since the agent's start; dependents and shares of its sliding window (15 minutes by default)"
                    .into(),
                limits: vec![
                    "Only one node is covered. Workloads, callers and instances on other nodes are not known, so the report does not \
                     show whether a point is redundant elsewhere.",
                    "Saturation is the current value, not the highest of a day.",
                ],
                queries: None,
            },
        }
    }
}
