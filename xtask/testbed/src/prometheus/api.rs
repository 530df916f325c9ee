//! The HTTP API of a Prometheus: instant and range queries, the values of a label.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use form_urlencoded::Serializer;
use serde_json::Value;

use crate::http;

/// A series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, including the name.
    pub labels: BTreeMap<String, String>,
    /// The value of the sample.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty when it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A series over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, including the name.
    pub labels: BTreeMap<String, String>,
    /// Unix time in seconds, and the value then; nothing at steps without a sample.
    pub points: Vec<(f64, f64)>,
}

/// A range of time, in Unix time, and the distance of its samples; all in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The first step.
    pub start: f64,
    /// The last step at the latest.
    pub end: f64,
    /// The time between two steps.
    pub step: f64,
}

/// A Prometheus at an address.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    address: SocketAddr,
}

impl Api {
    /// The Prometheus that listens on an address; nothing is sent yet.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Queries the value of an expression, now or at a Unix time in seconds: an instant vector, or one number.
    ///
    /// # Errors
    /// It does not answer, or refuses the expression.
    pub fn query(&self, expression: &str, at: Option<f64>) -> Result<Vec<Sample>> {
        let mut query = Serializer::new(String::new());
        query.append_pair("query", expression);
        if let Some(at) = at {
            query.append_pair("time", &at.to_string());
        }
        let data = self
            .ask(&format!("/api/v1/query?{}", query.finish()))
            .with_context(|| expression.to_owned())?;
        if data["resultType"] == "scalar" {
            let (_, value) = point(&data["result"]).context("no number")?;
            let labels = BTreeMap::new();
            return Ok(vec![Sample { labels, value }]);
        }
        let series = data["result"].as_array().context("no series")?;
        series
            .iter()
            .map(|series| {
                let (_, value) = point(&series["value"]).context("no number")?;
                Ok(Sample {
                    labels: serde_json::from_value(series["metric"].clone())?,
                    value,
                })
            })
            .collect()
    }

    /// Queries an expression at each step of a range of time.
    ///
    /// # Errors
    /// It does not answer, or refuses the expression.
    pub fn query_range(&self, expression: &str, range: Range) -> Result<Vec<Series>> {
        let query = Serializer::new(String::new())
            .append_pair("query", expression)
            .append_pair("start", &range.start.to_string())
            .append_pair("end", &range.end.to_string())
            .append_pair("step", &range.step.to_string())
            .finish();
        let data = self
            .ask(&format!("/api/v1/query_range?{query}"))
            .with_context(|| expression.to_owned())?;
        let series = data["result"].as_array().context("no series")?;
        series
            .iter()
            .map(|series| {
                let points = series["values"].as_array().context("no values")?;
                Ok(Series {
                    labels: serde_json::from_value(series["metric"].clone())?,
                    points: points.iter().filter_map(point).collect(),
                })
            })
            .collect()
    }

    /// The values that a label has on the series of a selector within a range of time, sorted.
    ///
    /// # Errors
    /// It does not answer, or refuses the selector.
    pub fn label_values(&self, label: &str, selector: &str, range: Range) -> Result<Vec<String>> {
        let query = Serializer::new(String::new())
            .append_pair("match[]", selector)
            .append_pair("start", &range.start.to_string())
            .append_pair("end", &range.end.to_string())
            .finish();
        let data = self
            .ask(&format!("/api/v1/label/{label}/values?{query}"))
            .with_context(|| format!("label_values({selector}, {label})"))?;
        Ok(serde_json::from_value(data)?)
    }

    pub(super) fn ask(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.address, path, "application/json")?;
        let mut body: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        ensure!(body["status"] == "success", "{}", body["error"]);
        Ok(body["data"].take())
    }
}

/// A time and a value, as in `[1700000000.5, "1.5"]`; values are text, as JSON has no `NaN`.
fn point(pair: &Value) -> Option<(f64, f64)> {
    Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?))
}
