//! The dashboards of `deploy/grafana` with the data of the demo: whether their queries return any, and pictures of them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use narrows_testbed::grafana::{self, Variables};
use narrows_testbed::prometheus::Prometheus;

use super::prometheus::SCRAPE;
use crate::dashboards::Pictures;

/// What the dashboards of one point and of one workload show.
const CHOSEN: [(&str, &str); 3] = [
    ("point", "shop/waypoint"),
    ("workload_namespace", "shop"),
    ("workload", "checkout"),
];

/// Runs every query of every dashboard, and returns a sentence about the number that return data.
///
/// # Errors
/// When one returns nothing although it should.
pub(super) fn check(prometheus: &Prometheus) -> Result<String> {
    let dashboards = grafana::dashboards(&grafana::directory())?;
    let (mut full, mut well, mut empty) = (0, Vec::new(), Vec::new());
    for query in grafana::queries(&dashboards) {
        let dashboard = &dashboards[&query.dashboard];
        let mut variables = Variables::preset(dashboard);
        for (name, value) in CHOSEN {
            variables.choose(dashboard, name, value);
        }
        let expression = variables.insert(&query.expression);
        if !prometheus.query(&expression)?.is_empty() {
            full += 1;
        } else if query.may_be_empty {
            well.push(query.panel);
        } else {
            empty.push(format!("{} / {}: {expression}", query.dashboard, query.panel));
        }
    }
    if !empty.is_empty() {
        bail!("these queries of dashboards return nothing:\n  {}", empty.join("\n  "));
    }
    let mut text = format!("{full} queries of the dashboards in deploy/grafana return data.");
    if !well.is_empty() {
        well.dedup();
        text += &format!(" Empty, as is normal for them: {}.", well.join(", "));
    }
    Ok(text)
}

/// Draws the dashboards into a directory, with the last `window` before `end`.
///
/// # Errors
/// When one cannot be drawn.
pub(super) fn draw(prometheus: &Prometheus, end: Timestamp, window: Duration, directory: &Path) -> Result<()> {
    let pictures = Pictures {
        end: end.as_duration().as_secs_f64(),
        window,
        scrape: SCRAPE,
        variables: CHOSEN.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    pictures.draw(&prometheus.api(), directory)
}
