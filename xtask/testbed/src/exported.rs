//! Names of series in documents.

use std::collections::BTreeSet;

/// All names of series in a text: words that begin with `narrows_` or `narrows:`. A word that ends with `_` or `*` stands for
/// several.
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
