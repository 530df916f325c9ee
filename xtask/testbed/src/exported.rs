//! Names of series: those that the agent exports, as its sources have them, and those that a document mentions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// What each kind of metric adds to its name.
const SUFFIXES: [&str; 5] = ["", "_total", "_bucket", "_sum", "_count"];

/// All names that series may have by the string literals in these sources. More than there are: the sources do not say which kind a
/// metric is.
pub fn names(sources: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(sources).with_context(|| format!("read {}", sources.display()))? {
        let text = fs::read_to_string(entry?.path())?;
        for literal in text.split('"').filter(|part| is_name(part)) {
            for suffix in SUFFIXES {
                names.insert(format!("{literal}{suffix}"));
            }
            // Each bound has a gauge for what there may be.
            names.insert(format!("{literal}_limit"));
        }
    }
    ensure!(names.len() > 100, "{} has no names of metrics", sources.display());
    Ok(names)
}

/// All names of series in a text: words that begin with `narrows_` or `narrows:`. A word that ends with `_` or `*` stands for several.
pub fn mentioned(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '*';
    text.split(|c| !word(c))
        .map(|name| name.trim_end_matches(':'))
        .filter(|name| is_name(name) || name.starts_with("narrows:"))
        .filter(|name| !name.ends_with(['_', '*']))
        .map(str::to_owned)
        .collect()
}

fn is_name(text: &str) -> bool {
    text.starts_with("narrows_") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_expressions_and_in_sentences() {
        let text = "`sum(narrows_lost_total{what=\"x\"})`, narrows_point:a:b and narrows:c:d: see narrows_client_*, /etc/narrows";
        let expected = ["narrows:c:d", "narrows_lost_total", "narrows_point:a:b"].map(str::to_owned);
        assert_eq!(mentioned(text), BTreeSet::from(expected));
    }
}
