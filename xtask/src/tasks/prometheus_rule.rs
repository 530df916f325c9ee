//! The rule files as objects of the Prometheus operator, which kustomize cannot make of them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// The objects of rule files, one for each: somebody may want the recording rules, and alerts of their own.
///
/// # Errors
/// A file is not only a list of groups.
pub(super) fn objects(files: &[(PathBuf, String)]) -> Result<Vec<(PathBuf, String)>> {
    let component = workspace::root().join("deploy/kubernetes/components/prometheus-rule");
    let object = |(file, rules): &(PathBuf, String)| {
        let name = file.file_stem().and_then(|name| name.to_str());
        let text = object(name.context("a file without a name")?, rules);
        let object = component.join(file.file_name().unwrap_or_default());
        Ok((object, text.with_context(|| file.display().to_string())?))
    };
    files.iter().map(object).collect()
}

/// The object of a rule file: its groups are indented, and nothing else in them changes.
fn object(name: &str, rules: &str) -> Result<String> {
    let mut lines = rules.lines();
    let before = lines.by_ref().find(|line| !line.is_empty() && !line.starts_with('#'));
    ensure!(
        before == Some("groups:"),
        "expected `groups:` as its only field, found {before:?}"
    );
    let mut text = format!(
        "\
# Generated from deploy/prometheus/{name}.yaml by `cargo xtask docs`: edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: narrows-{name}
  namespace: narrows
  labels:
    app.kubernetes.io/name: narrows
    app.kubernetes.io/component: {name}
spec:
  groups:
"
    );
    for line in lines {
        ensure!(
            line.is_empty() || line.starts_with([' ', '#']),
            "expected `groups:` as its only field, found {line:?}"
        );
        if !line.is_empty() {
            text.push_str("  ");
            text.push_str(line);
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_become_the_specification() {
        let text = object(
            "rules",
            "# About them.\n\ngroups:\n  - name: a\n\n    rules: [] # none\n",
        )
        .expect("valid");
        assert!(text.contains("\n  name: narrows-rules\n"), "{text}");
        assert!(
            text.ends_with("\nspec:\n  groups:\n    - name: a\n\n      rules: [] # none\n"),
            "{text}"
        );
    }

    #[test]
    fn a_file_with_anything_else_is_an_error_that_quotes_it() {
        for (rules, quoted) in [
            ("name: a\ngroups:\n", "name: a"),
            ("groups:\n  - name: a\nother: b\n", "other: b"),
            ("# nothing\n", "None"),
        ] {
            let error = object("rules", rules).expect_err("not only groups").to_string();
            assert!(error.contains(quoted), "{error}");
        }
    }
}
