//! Where the facts come from: a Prometheus, or one agent.

use super::{
    ask::Api,
    facts::FACTS,
    text::{self, Sample},
};
use crate::duration;
use anyhow::{Context as _, bail};
use hyper::StatusCode;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    time::{Duration, Instant},
};

/// Who is asked.
pub enum Source {
    /// A Prometheus, about this time.
    Prometheus {
        /// It.
        api: Api,
        /// How far back.
        window: Duration,
    },
    /// An agent.
    Agent {
        /// It.
        api: Api,
    },
}

/// What a report says of its source.
#[derive(Clone, Debug)]
pub struct About {
    /// Who was asked.
    pub source: String,
    /// The time that the report is about.
    pub window: String,
    /// What it therefore cannot know.
    pub limits: Vec<&'static str>,
    /// The query of a series in the window; `None` when nothing can be queried.
    pub queries: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus { api, .. } => write!(f, "Prometheus at {api}"),
            Self::Agent { api } => write!(f, "the agent at {api}"),
        }
    }
}

/// Longer than this, and it is said that something is under way.
const QUIET: Duration = Duration::from_secs(3);

impl Source {
    /// All samples of all facts.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn samples(&self) -> anyhow::Result<Vec<Sample>> {
        match self {
            Self::Agent { api } => {
                let (status, body) = api.get("/metrics")?;
                if status != StatusCode::OK {
                    bail!("{self} answers /metrics with {status}: is it an agent of Narrows?");
                }
                let text = std::str::from_utf8(&body).with_context(|| format!("{self} does not answer with text"))?;
                let samples = text::parse(text);
                Ok(samples
                    .into_iter()
                    .filter(|sample| FACTS.iter().any(|fact| fact.series == sample.series))
                    .collect())
            }
            Self::Prometheus { api, window } => {
                let (begin, window) = (Instant::now(), duration::format(*window));
                let mut all = Vec::new();
                for (n, fact) in FACTS.iter().enumerate() {
                    if begin.elapsed() > QUIET {
                        let _closed = writeln!(
                            io::stderr(),
                            "narrows: asking for {} ({} of {})",
                            fact.series,
                            n + 1,
                            FACTS.len()
                        );
                    }
                    all.extend(query(api, fact.series, &fact.query(&window))?);
                }
                Ok(all)
            }
        }
    }

    /// What the report says of it.
    pub fn about(&self) -> About {
        match self {
            Self::Prometheus { window, .. } => About {
                source: self.to_string(),
                window: format!("the last {}", duration::format(*window)),
                limits: vec![
                    "Shares are those of the agents' own sliding window (15 minutes by default), as last seen.",
                ],
                queries: Some(duration::format(*window)),
            },
            Self::Agent { .. } => About {
                source: self.to_string(),
                window: "since the agent's start; dependents and shares of its sliding window (15 minutes by default)"
                    .into(),
                limits: vec![
                    "One node is seen. Workloads, callers and instances on other nodes are not known, so nothing is said of how far a \
                     point is redundant elsewhere.",
                    "Saturation is that of the moment, and not the highest of a day.",
                ],
                queries: None,
            },
        }
    }
}

/// What Prometheus answers (<https://prometheus.io/docs/prometheus/latest/querying/api/>).
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

fn query(api: &Api, series: &str, query: &str) -> anyhow::Result<Vec<Sample>> {
    let parameters = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", query)
        .finish();
    let (status, body) = api.get(&format!("/api/v1/query?{parameters}"))?;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        bail!("{api} refuses ({status}): give a token by --token-file or NARROWS_PROMETHEUS_TOKEN");
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
        bail!(
            "{api} does not answer as a Prometheus does (status {status}): is --prometheus right? A Prometheus behind a path needs it: \
             http://HOST/prometheus"
        );
    };
    if answer.status != "success" {
        bail!("{api} refuses the query {query}: {} ({status})", answer.error);
    }
    let found = answer.data.map(|data| data.result).unwrap_or_default();
    let sample = |found: Series| {
        let mut labels = found.metric;
        labels.remove("__name__");
        let value: f64 = found.value.1.parse().ok()?;
        value.is_finite().then(|| Sample {
            series: series.to_owned(),
            labels,
            value,
        })
    };
    Ok(found.into_iter().filter_map(sample).collect())
}
