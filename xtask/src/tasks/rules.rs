//! The recording rules and alerts, from their templates.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use minijinja::{Environment, syntax::SyntaxConfig};

use crate::workspace;

/// The kinds of points whose failure domain is a node: each node has its own.
const NODE_KINDS: &str = "ztunnel|node_proxy";

/// Where the pages of the alerts are, and the dashboards. Placeholders, which every installation replaces.
const RUNBOOKS: &str = "https://narrows.example/runbooks";
const DASHBOARDS: &str = "https://narrows.example/grafana/d";

/// Each file with its text, made of the template of the same name.
pub(crate) fn generated() -> Result<Vec<(PathBuf, String)>> {
    let directory = workspace::root().join("deploy/prometheus");
    let templates = environment(directory.join("source"))?;
    ["rules.yaml", "alerts.yaml"]
        .into_iter()
        .map(|name| {
            let template = templates.get_template(&format!("{name}.jinja"))?;
            let text = template
                .render(())
                .with_context(|| format!("cannot write {name} from its template"))?;
            Ok((directory.join(name), format!("{}\n", without_empty(&text))))
        })
        .collect()
}

/// Templates with delimiters that mean nothing in YAML, in PromQL, and in the templates of Prometheus.
fn environment(source: PathBuf) -> Result<Environment<'static>> {
    let mut templates = Environment::new();
    templates.set_syntax(
        SyntaxConfig::builder()
            .block_delimiters("<%", "%>")
            .variable_delimiters("<<", ">>")
            .comment_delimiters("<#", "#>")
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    templates.add_global("node_kinds", NODE_KINDS);
    templates.add_global("runbooks", RUNBOOKS);
    templates.add_global("dashboards", DASHBOARDS);
    templates.set_loader(move |name| {
        let file = source.join(name);
        std::fs::read_to_string(&file).map(Some).map_err(|error| {
            let what = format!("cannot read {}: {error}", file.display());
            minijinja::Error::new(minijinja::ErrorKind::TemplateNotFound, what)
        })
    });
    Ok(templates)
}

/// The text without lines that only held blocks of the template, and with at most one empty line in a row.
fn without_empty(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    lines.join("\n").trim().to_owned()
}
