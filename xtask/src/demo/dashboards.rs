//! Checks that the queries of the dashboards in `deploy/grafana` return data in the demo.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use narrows_testbed::grafana;
use narrows_testbed::prometheus::Prometheus;

/// Runs every query of every dashboard, and returns a sentence about the number that return data.
///
/// # Errors
/// When one returns nothing although it should.
pub(super) fn check(prometheus: &Prometheus) -> Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana");
    let values = BTreeMap::from([
        ("point", "shop/waypoint"),
        ("workload_namespace", "shop"),
        ("workload", "checkout"),
    ]);
    let (mut full, mut well, mut empty) = (0, Vec::new(), Vec::new());
    for query in grafana::queries(&grafana::dashboards(&directory)?) {
        let expression = query.with(&values);
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
