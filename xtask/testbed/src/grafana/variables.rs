//! The variables of a dashboard, with values chosen and inserted into queries as Grafana does it for Prometheus.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use regex::Regex;
use serde_json::Value;

use crate::prometheus::{Api, Range};

/// How the value of a variable is written into a query.
#[derive(Debug, Clone, PartialEq)]
enum Choice {
    /// As it is: the pattern for *All*, or a value of Grafana's own.
    Verbatim(String),
    /// The single value of a variable that allows one only.
    One(String),
    /// Values of a variable that allows several: as a regular expression.
    Several(Vec<String>),
}

impl Choice {
    fn written(&self) -> String {
        match self {
            Self::Verbatim(text) => text.clone(),
            Self::One(value) => value.replace('\\', "\\\\").replace('"', "\\\""),
            Self::Several(values) => {
                // The pattern stands in a string of PromQL, in which a backslash is escaped itself.
                let escaped: Vec<String> = values
                    .iter()
                    .map(|value| regex::escape(value).replace('\\', "\\\\"))
                    .collect();
                match escaped.as_slice() {
                    [one] => one.clone(),
                    several => format!("({})", several.join("|")),
                }
            }
        }
    }
}

/// The values of a dashboard's variables.
#[derive(Debug, Clone)]
pub struct Variables(BTreeMap<String, Choice>);

impl Variables {
    /// The values that the file itself chooses, and Grafana's own ones for the last hour at a scrape interval of 15 s, its default.
    pub fn preset(dashboard: &Value) -> Self {
        let hour = Range {
            start: 0.0,
            end: 3600.0,
            step: 15.0,
        };
        let mut variables = Self::builtin(hour, 15.0);
        for variable in list(dashboard) {
            if let Some(choice) = preset(variable) {
                variables.0.insert(name(variable), choice);
            }
        }
        variables
    }

    /// The values that the dashboard has when it is opened: those that are given, as in a link, then those that the file chooses, then
    /// the first one that Prometheus knows.
    ///
    /// # Errors
    /// Prometheus does not answer, or the file has a kind of variable that is not understood here.
    pub fn resolve(
        dashboard: &Value,
        given: &BTreeMap<String, String>,
        api: &Api,
        range: Range,
        scrape: f64,
    ) -> Result<Self> {
        let mut variables = Self::builtin(range, scrape);
        for variable in list(dashboard) {
            let name = name(variable);
            if let Some(value) = given.get(&name) {
                variables.choose(dashboard, &name, value);
            } else if let Some(choice) = preset(variable) {
                variables.0.insert(name, choice);
            } else if variable["type"] != "datasource" {
                let known = variables
                    .known(variable, api, range)
                    .with_context(|| format!("variable {name}"))?;
                let first = known.into_iter().next().unwrap_or_default();
                variables.choose(dashboard, &name, &first);
            }
        }
        Ok(variables)
    }

    /// Chooses a single value.
    pub fn choose(&mut self, dashboard: &Value, name: &str, value: &str) {
        let variable = list(dashboard).find(|variable| variable["name"] == name);
        let several = variable.is_some_and(|variable| variable["multi"] == true);
        let choice = if several {
            Choice::Several(vec![value.to_owned()])
        } else {
            Choice::One(value.to_owned())
        };
        self.0.insert(name.to_owned(), choice);
    }

    /// What is shown of the choice: *All*, or the values.
    pub fn shown(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Choice::Verbatim(_)) => "All".to_owned(),
            Some(Choice::One(value)) => value.clone(),
            Some(Choice::Several(values)) => values.join(" + "),
            None => String::new(),
        }
    }

    /// A text with the values in the place of `$name` and `${name}`; a name that is unknown stays as it is.
    pub fn insert(&self, text: &str) -> String {
        let mut inserted = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            inserted.push_str(&rest[..at]);
            rest = &rest[at..];
            let braced = rest[1..]
                .strip_prefix('{')
                .and_then(|inner| Some(&inner[..inner.find('}')?]));
            let bare = &rest[1..];
            let (name, length) = match braced {
                Some(name) => (name, name.len() + 3),
                None => {
                    let end = bare.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                    let name = &bare[..end.unwrap_or(bare.len())];
                    (name, name.len() + 1)
                }
            };
            match self.0.get(name) {
                Some(choice) => inserted.push_str(&choice.written()),
                None => inserted.push_str(&rest[..length]),
            }
            rest = &rest[length..];
        }
        inserted + rest
    }

    /// Grafana's own variables; <https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/> defines
    /// `$__rate_interval`.
    fn builtin(range: Range, scrape: f64) -> Self {
        let rate = (range.step + scrape).max(4.0 * scrape);
        let values = [
            ("__interval", range.step),
            ("__rate_interval", rate),
            ("__range", range.end - range.start),
        ];
        let written =
            |(name, seconds): (&str, f64)| (name.to_owned(), Choice::Verbatim(format!("{:.0}ms", seconds * 1e3)));
        Self(values.into_iter().map(written).collect())
    }

    /// The values that Prometheus knows for a variable of the form `label_values(selector, label)`.
    fn known(&self, variable: &Value, api: &Api, range: Range) -> Result<Vec<String>> {
        let query = variable["query"]["query"].as_str().context("it has no query")?;
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let Some((selector, label)) = inner.and_then(|inner| inner.rsplit_once(',')) else {
            bail!("{query:?} is not of the form label_values(selector, label)");
        };
        let values = api.label_values(label.trim(), &self.insert(selector), range)?;
        let regex = variable["regex"].as_str().unwrap_or_default();
        if regex.is_empty() {
            return Ok(values);
        }
        let regex = Regex::new(regex.trim_matches('/'))?;
        let mut captured: Vec<String> = values
            .iter()
            .filter_map(|value| regex.captures(value))
            .filter_map(|found| Some(found.get(1).or(found.get(0))?.as_str().to_owned()))
            .collect();
        captured.sort();
        captured.dedup();
        Ok(captured)
    }
}

fn list(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["templating"]["list"].as_array().into_iter().flatten()
}

fn name(variable: &Value) -> String {
    variable["name"].as_str().unwrap_or_default().to_owned()
}

/// What the file chooses for a variable.
fn preset(variable: &Value) -> Option<Choice> {
    let value = &variable["current"]["value"];
    let values: Vec<String> = match value {
        Value::Array(values) => values
            .iter()
            .filter_map(|value| Some(value.as_str()?.to_owned()))
            .collect(),
        Value::String(value) => vec![value.clone()],
        _ => return None,
    };
    if values.iter().any(|value| value == "$__all") {
        return Some(Choice::Verbatim(
            variable["allValue"].as_str().unwrap_or(".*").to_owned(),
        ));
    }
    Some(if variable["multi"] == true {
        Choice::Several(values)
    } else {
        Choice::One(values.into_iter().next()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables() -> Variables {
        let dashboard = json!({"templating": {"list": [
            {"name": "cluster", "multi": true, "allValue": ".*", "current": {"value": ["$__all"]}},
            {"name": "node", "multi": true, "current": {"value": ["n.1", "n.2"]}},
            {"name": "workload"},
            {"name": "workload_namespace"},
        ]}});
        let mut variables = Variables::preset(&dashboard);
        variables.choose(&dashboard, "workload", "a\"b");
        variables.choose(&dashboard, "workload_namespace", "shop");
        variables
    }

    #[test]
    fn values_are_inserted_as_grafana_does() {
        for (text, expected) in [
            ("x{c=~\"$cluster\"}", "x{c=~\".*\"}"),
            ("x{n=~\"$node|\"}", "x{n=~\"(n\\\\.1|n\\\\.2)|\"}"),
            (
                "x{n=\"$workload_namespace\",w=\"${workload}\"}",
                "x{n=\"shop\",w=\"a\\\"b\"}",
            ),
            ("rate(x[$__rate_interval])", "rate(x[60000ms])"),
            ("increase(x[$__range] @ end())", "increase(x[3600000ms] @ end())"),
            (
                "label_replace(x, \"a\", \"$1\", \"b\", \"$$__all\")",
                "label_replace(x, \"a\", \"$1\", \"b\", \"$$__all\")",
            ),
            ("${unknown} and $", "${unknown} and $"),
        ] {
            assert_eq!(variables().insert(text), expected, "{text}");
        }
    }

    #[test]
    fn choices_are_shown() {
        let shown = ["cluster", "node", "workload_namespace", "none"].map(|name| variables().shown(name));
        assert_eq!(shown, ["All", "n.1 + n.2", "shop", ""]);
    }

    #[test]
    fn a_rate_covers_four_scrapes_and_a_step() {
        let range = |step| Range {
            start: 0.0,
            end: 60.0,
            step,
        };
        let rate = |step| Variables::builtin(range(step), 15.0).insert("$__rate_interval");
        assert_eq!((rate(15.0), rate(120.0)), ("60000ms".into(), "135000ms".into()));
    }
}
