//! The dashboards of `deploy/grafana` and their queries.

mod variables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

pub use variables::Variables;

/// A query of a panel.
#[derive(Debug, Clone)]
pub struct Query {
    /// The file of its dashboard.
    pub dashboard: String,
    /// The title of its panel.
    pub panel: String,
    /// The query as it is in the file, including variables.
    pub expression: String,
    /// Whether an empty result is normal: the panel then shows "None …", or the query is about a limit that may not exist, and is
    /// called `Optional…`.
    pub may_be_empty: bool,
}

/// The directory of the dashboards in this checkout.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana")
}

/// All dashboards of a directory, by file name.
pub fn dashboards(directory: &Path) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let dashboard = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
            let name = path
                .file_stem()
                .context("a file has a name")?
                .to_string_lossy()
                .into_owned();
            all.insert(name, dashboard);
        }
    }
    ensure!(!all.is_empty(), "no dashboards in {}", directory.display());
    Ok(all)
}

/// All queries of dashboards, in their order.
pub fn queries(dashboards: &BTreeMap<String, Value>) -> Vec<Query> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for (name, dashboard) in dashboards {
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            let none = text(&panel["fieldConfig"]["defaults"]["noValue"]);
            for target in panel["targets"].as_array().into_iter().flatten() {
                all.push(Query {
                    dashboard: name.clone(),
                    panel: text(&panel["title"]),
                    expression: text(&target["expr"]),
                    may_be_empty: none.starts_with("None") || text(&target["refId"]).starts_with("Optional"),
                });
            }
        }
    }
    all
}
