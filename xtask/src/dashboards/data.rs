//! What the queries of a panel return.

use std::collections::BTreeMap;

use anyhow::Result;
use narrows_testbed::grafana::Variables;
use narrows_testbed::prometheus::{Api, Range, Series};
use serde_json::Value;

use super::table::Table;

/// Where the data of a dashboard come from.
pub(super) struct Source<'a> {
    pub(super) api: &'a Api,
    pub(super) range: Range,
    pub(super) variables: &'a Variables,
}

/// A series with its name in the legend.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Unix time in seconds, and the value then.
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn last(&self) -> Option<f64> {
        self.points.last().map(|(_, value)| *value)
    }
}

impl Source<'_> {
    /// The series of a panel, over time, or at its end where the query is an instant one.
    pub(super) fn lines(&self, panel: &Value) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for target in targets(panel) {
            let expression = self.expression(target);
            let found = if target["instant"] == true {
                let samples = self.api.query(&expression, Some(self.range.end))?;
                let series = |sample: narrows_testbed::prometheus::Sample| Series {
                    labels: sample.labels,
                    points: vec![(self.range.end, sample.value)],
                };
                samples.into_iter().map(series).collect()
            } else {
                self.api.query_range(&expression, self.range)?
            };
            let format = target["legendFormat"].as_str().unwrap_or("__auto");
            lines.extend(found.into_iter().map(|series| Line {
                name: legend(format, &series.labels),
                // Grafana draws nothing for NaN, which a ratio of two idle rates is.
                points: series.points.into_iter().filter(|(_, value)| !value.is_nan()).collect(),
            }));
        }
        Ok(lines)
    }

    /// The table of a panel, transformed.
    pub(super) fn table(&self, panel: &Value) -> Result<Table> {
        let targets: Vec<&Value> = targets(panel).collect();
        let mut tables = Vec::new();
        for target in &targets {
            let samples = self.api.query(&self.expression(target), Some(self.range.end))?;
            let value = match targets.len() {
                1 => "Value".to_owned(),
                _ => format!("Value #{}", target["refId"].as_str().unwrap_or_default()),
            };
            tables.push(Table::of(&samples, &value));
        }
        Table::transformed(tables, &panel["transformations"])
    }

    fn expression(&self, target: &Value) -> String {
        self.variables.insert(target["expr"].as_str().unwrap_or_default())
    }
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().into_iter().flatten()
}

/// The name of a series: the format with labels in the place of `{{label}}`, without superfluous blanks, as HTML shows it.
fn legend(format: &str, labels: &BTreeMap<String, String>) -> String {
    if format == "__auto" {
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        return format!("{{{}}}", pairs.join(", "));
    }
    let mut name = format.to_owned();
    while let Some(begin) = name.find("{{")
        && let Some(length) = name[begin..].find("}}")
    {
        let label = name[begin + 2..begin + length].trim();
        let value = labels.get(label).cloned().unwrap_or_default();
        name.replace_range(begin..begin + length + 2, &value);
    }
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_by_their_labels() {
        let labels = [("kind", "waypoint"), ("point", "shop/w")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(
            legend("{{kind}} {{point}} {{node}} limit", &labels),
            "waypoint shop/w limit"
        );
        assert_eq!(legend("__auto", &labels), "{kind=\"waypoint\", point=\"shop/w\"}");
        assert_eq!(legend("p99", &labels), "p99");
    }
}
