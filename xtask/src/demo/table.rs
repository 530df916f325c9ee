//! The table of points that the demo prints while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use narrows_testbed::scrape::{Metrics, Series};

/// Remembers the last scrape, for rates.
pub(super) struct Table {
    before: Metrics,
    at: Duration,
}

impl Table {
    pub(super) fn new(first: Metrics) -> Self {
        Self {
            before: first,
            at: Duration::ZERO,
        }
    }

    /// The table of a scrape that was taken `now` after the first.
    pub(super) fn next(&mut self, now: Duration, metrics: Metrics) -> String {
        let seconds = (now - self.at).as_secs_f64().max(0.001);
        let mut text = format!(
            "{:>4} s  {:<10} {:<22} {:>6} {:>15} {:>9} {:>9} {:>10}  {}\n",
            now.as_secs(),
            "KIND",
            "POINT",
            "ACTIVE",
            "OPENED/s in·out",
            "RX/s",
            "TX/s",
            "DEPENDENTS",
            "FAILURES SO FAR"
        );
        for (kind, point) in points(&metrics) {
            let of = |side| [("point", point), ("side", side)];
            let rate = |name: &str, labels: &[(&str, &str)]| {
                (metrics.sum(name, labels) - self.before.sum(name, labels)) / seconds
            };
            let opened = |side| rate("narrows_connections_opened_total", &of(side));
            let whole = [("point", point)];
            let dependents = [("point", point), ("scope", "workload")];
            let _infallible = writeln!(
                text,
                "        {kind:<10} {point:<22} {:>6} {:>15} {:>9} {:>9} {:>10}  {}",
                metrics.sum("narrows_connections_active", &whole),
                format!("{:.1}·{:.1}", opened("downstream"), opened("upstream")),
                bytes(rate("narrows_received_bytes_total", &whole)),
                bytes(rate("narrows_sent_bytes_total", &whole)),
                metrics.sum("narrows_dependents", &dependents),
                failures(&metrics, point)
            );
        }
        (self.before, self.at) = (metrics, now);
        text
    }
}

/// The points that have traffic, as (kind, point).
fn points(metrics: &Metrics) -> BTreeSet<(&str, &str)> {
    let series = metrics.series("narrows_connections_opened_total");
    series
        .filter_map(|series| Some((series.label("kind")?, series.label("point")?)))
        .collect()
}

/// Failures of a point, as observed by itself and by its callers.
fn failures(metrics: &Metrics, point: &str) -> String {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let here = [("point", point)];
    let reason = |series: &Series| series.label("reason").unwrap_or("?").to_owned();
    for series in metrics.matching("narrows_connection_failures_total", &here) {
        let side = series.label("side").unwrap_or("?");
        *counts.entry(format!("{side} {}", reason(series))).or_default() += series.value;
    }
    for series in metrics.matching("narrows_client_connection_failures_total", &here) {
        *counts.entry(format!("callers {}", reason(series))).or_default() += series.value;
    }
    let told: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0.0)
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    if told.is_empty() {
        "–".to_owned()
    } else {
        told.join(", ")
    }
}

fn bytes(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1} MB", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} kB", rate / 1e3),
        rate => format!("{rate:.0} B"),
    }
}
