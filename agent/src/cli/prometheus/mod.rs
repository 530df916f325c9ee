//! What a Prometheus or an agent knows: samples, asked for by queries or read from `/metrics`.

mod origin;
mod scope;
mod text;

pub use origin::{Origin, window};
pub use scope::Scope;
pub use text::{Sample, parse};

use super::http::Client;
use anyhow::bail;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Display, time::Duration};

/// An answer of Prometheus (<https://prometheus.io/docs/prometheus/latest/querying/api/>).
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data<T>>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Data<T> {
    #[serde(default = "Vec::new")]
    result: Vec<T>,
}

/// A series at one time.
#[derive(Deserialize)]
struct Instant {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// A series over a time.
#[derive(Deserialize)]
struct Range {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// The values of a series over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The labels and their values.
    pub labels: BTreeMap<String, String>,
    /// Times, in seconds since 1970, and finite values, in order.
    pub values: Vec<(f64, f64)>,
}

/// The samples of an agent's `/metrics`.
///
/// # Errors
/// When the agent does not answer, or not as expected.
pub async fn scrape(client: &Client) -> anyhow::Result<Vec<Sample>> {
    let body = client.get("/metrics", &[]).await?.ok().await?.whole().await?;
    let text = std::str::from_utf8(&body).map_err(|_| client.asked().unexpected("not text in UTF-8"))?;
    Ok(parse(text))
}

/// The present result of a query, under the name `series`, without values that are not finite.
///
/// # Errors
/// When there is no answer, or Prometheus rejects the query.
pub async fn query(client: &Client, series: &str, query: &str) -> anyhow::Result<Vec<Sample>> {
    let found: Vec<Instant> = ask(client, "query", query, &[]).await?;
    let sample = |found: Instant| {
        Some(Sample {
            series: series.to_owned(),
            labels: nameless(found.metric),
            value: finite(&found.value.1)?,
        })
    };
    Ok(found.into_iter().filter_map(sample).collect())
}

/// The results of a query at times `step` apart, from `from` to `to`, in seconds since 1970.
///
/// # Errors
/// When there is no answer, or Prometheus rejects the query.
pub async fn range(
    client: &Client,
    query: &str,
    (from, to): (f64, f64),
    step: Duration,
) -> anyhow::Result<Vec<Course>> {
    let step = step.as_secs_f64();
    let times: [(&str, &dyn Display); 3] = [("start", &from), ("end", &to), ("step", &step)];
    let found: Vec<Range> = ask(client, "query_range", query, &times).await?;
    let course = |found: Range| Course {
        labels: nameless(found.metric),
        values: (found.values.iter())
            .filter_map(|(time, value)| Some((*time, finite(value)?)))
            .collect(),
    };
    Ok(found.into_iter().map(course).collect())
}

fn nameless(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.remove("__name__");
    labels
}

fn finite(value: &str) -> Option<f64> {
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    what: &str,
    query: &str,
    more: &[(&str, &dyn Display)],
) -> anyhow::Result<Vec<T>> {
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    parameters.append_pair("query", query);
    for (name, value) in more {
        parameters.append_pair(name, &value.to_string());
    }
    let path = format!("/api/v1/{what}?{}", parameters.finish());
    let answer = client.get(&path, &[]).await?;
    let status = answer.status();
    let body = answer.whole().await?;
    // Prometheus reports errors of a query in the same form.
    let answer: Answer<T> = serde_json::from_slice(&body).map_err(|_| {
        client.asked().unexpected(format!(
            "{status}, and not in the form of Prometheus' API (a path prefix belongs to the URL: https://HOST/prometheus)"
        ))
    })?;
    if answer.status != "success" {
        bail!("{client} rejected the query {query}: {} ({status})", answer.error);
    }
    Ok(answer.data.map(|data| data.result).unwrap_or_default())
}
