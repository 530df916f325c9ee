//! Parses the text format of `/metrics` into series and values.

use std::collections::BTreeMap;

/// A series and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name of the series.
    pub series: String,
    /// The labels and their values.
    pub labels: BTreeMap<String, String>,
    /// Its value; a finite number.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty if the series does not have it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Reads Prometheus' text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>). A line that cannot be read is
/// left out.
pub fn parse(text: &str) -> Vec<Sample> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ', '\t'])?;
    let (series, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (name, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.insert(name.trim().to_owned(), value);
            rest = after;
        }
    }
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then(|| Sample {
        series: series.to_owned(),
        labels,
        value,
    })
}

/// The text up to the closing quote, and what comes after it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_series_is_read_with_all_that_labels_may_have() {
        let text = "# HELP a b\na{x=\"1\",y=\"q\\\"u\\\\o\\nte }\"} 2.5\nb 3 1700000000\nc{} NaN\nd{broken 1\n\n";
        let read = parse(text);
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].label("x"), read[0].label("y"), read[0].value),
            ("1", "q\"u\\o\nte }", 2.5)
        );
        assert_eq!((read[1].series.as_str(), read[1].value), ("b", 3.0));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,80}") {
            let _read = parse(&text);
        }
    }
}
