//! A scrape of `/metrics`, and look-ups in it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Add as _;

use anyhow::{Context as _, Result, ensure};

use crate::http;

/// A sample line of a scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The sample's name, with its suffix (`_total`, `_bucket`, …).
    pub name: String,
    /// Labels in the order of the line.
    pub labels: Vec<(String, String)>,
    /// The value of the sample.
    pub value: f64,
}

impl Series {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn matches(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == Some(value))
    }
}

/// A parsed scrape, in the Prometheus text or the OpenMetrics format.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    series: Vec<Series>,
}

impl Metrics {
    /// Scrapes `/metrics` at this address.
    pub fn fetch(address: SocketAddr) -> Result<Self> {
        let accept = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5";
        let response = http::get(address, "/metrics", accept)?;
        ensure!(
            response.status == 200,
            "http://{address}/metrics answered {}",
            response.status
        );
        Self::parse(&response.body)
    }

    /// Reads the text of a scrape.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines
            .map(|line| parse_line(line).with_context(|| format!("sample line {line:?}")))
            .collect::<Result<_>>()?;
        Ok(Self { series })
    }

    /// All series of a name.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| series.name == name)
    }

    /// The series of a name that carry all of these labels.
    pub fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Series> {
        self.series(name).filter(move |series| series.matches(labels))
    }

    /// The sum over the series that carry all of these labels; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels)
            .map(|series| series.value)
            .fold(0.0, f64::add)
    }

    /// The one series that carries all of these labels.
    ///
    /// # Panics
    /// When there are several, with a list of them: more labels are needed.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<&Series> = self.matching(name, labels).collect();
        assert!(
            found.len() < 2,
            "{} series of {name} with {labels:?}:\n{}",
            found.len(),
            self.listing(name)
        );
        found.first().map(|series| series.value)
    }

    /// The lines whose name starts with `prefix`, without histogram buckets, for a failure message.
    pub fn listing(&self, prefix: &str) -> String {
        let mut text = String::new();
        let told = |series: &&Series| series.name.starts_with(prefix) && !series.name.ends_with("_bucket");
        for series in self.series.iter().filter(told) {
            let labels: Vec<String> = series
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            let _infallible = writeln!(text, "{}{{{}}} {}", series.name, labels.join(","), series.value);
        }
        text
    }
}

fn parse_line(line: &str) -> Result<Series> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = parse_labels(inside, &mut labels)?;
    }
    // A timestamp or an exemplar may follow the value.
    let value = rest.split_whitespace().next().context("no value")?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse()?,
    };
    Ok(Series {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads `name="value",…}` and returns what follows.
fn parse_labels<'a>(mut rest: &'a str, labels: &mut Vec<(String, String)>) -> Result<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            let (at, character) = characters.next().context("a label value without an end")?;
            match character {
                '"' => break &after[at + 1..],
                '\\' => match characters.next().context("a backslash at the end")?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                plain => value.push(plain),
            }
        };
        labels.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP a A.
# TYPE a counter
a_total{point="shop/way\"point\\",side="downstream"} 3 # {trace="x"} 1
a_total{side="upstream",point="b{c},d= e\n"} 4.5 1700000000
up 1
h_bucket{le="+Inf"} +Inf
# EOF
"#;

    #[test]
    fn reads_labels_with_escapes() -> Result<()> {
        let metrics = Metrics::parse(TEXT)?;
        let all: Vec<&Series> = metrics.series("a_total").collect();
        assert_eq!(all[0].label("point"), Some("shop/way\"point\\"));
        assert_eq!(all[1].label("point"), Some("b{c},d= e\n"));
        assert_eq!(all[1].value, 4.5);
        Ok(())
    }

    #[test]
    fn sums_and_picks() -> Result<()> {
        let metrics = Metrics::parse(TEXT)?;
        assert_eq!(metrics.sum("a_total", &[]), 7.5);
        // A sum of nothing by the standard library is -0, which would be printed as such.
        assert_eq!(metrics.sum("a_total", &[("side", "neither")]).to_string(), "0");
        assert_eq!(metrics.get("a_total", &[("side", "upstream")]), Some(4.5));
        assert_eq!(metrics.get("up", &[]), Some(1.0));
        assert_eq!(metrics.get("down", &[]), None);
        assert_eq!(metrics.get("h_bucket", &[]), Some(f64::INFINITY));
        Ok(())
    }

    #[test]
    #[should_panic(expected = "2 series of a_total")]
    fn refuses_an_ambiguous_question() {
        let metrics = Metrics::parse(TEXT).expect("the text is well-formed");
        let _two = metrics.get("a_total", &[]);
    }

    #[test]
    fn refuses_broken_lines() {
        for line in ["a", "a{b=\"c} 1", "a{b} 1", "a x"] {
            assert!(Metrics::parse(line).is_err(), "{line}");
        }
    }
}
