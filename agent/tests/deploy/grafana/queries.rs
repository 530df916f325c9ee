//! Queries: valid, about series that there are, narrowed by the variables, and with names for what they return.

use super::{all, shown, targets};
use crate::manifests::{deploy, succeed};
use narrows::{catalogue, metrics::Family};
use narrows_testbed::{
    exported,
    grafana::{Variables, queries},
    tools::tool,
};
use regex::Regex;
use std::{fmt::Write as _, fs, process::Command};

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

#[test]
fn every_query_is_valid_and_about_series_that_there_are() {
    let rules = fs::read_to_string(deploy().join("prometheus/rules.yaml")).expect("rules");
    let mut known = exported::mentioned(&rules);
    known.extend(catalogue::families().flat_map(Family::series));
    let dashboards = all();
    let mut file = String::from("groups:\n  - name: dashboards\n    rules:\n");
    for (n, query) in queries(&dashboards).into_iter().enumerate() {
        let dashboard = &dashboards[&query.dashboard];
        let mut variables = Variables::preset(dashboard);
        for (name, value) in [("workload_namespace", "shop"), ("workload", "a"), ("point", "shop/w")] {
            variables.choose(dashboard, name, value);
        }
        let expression = variables.insert(&query.expression);
        // The value of a variable, in links from a row: see `links.rs`.
        let rest = expression.replace("\"$1\"", "").replace("\"$$__all\"", "");
        assert!(!rest.contains('$'), "{} {}: {expression}", query.dashboard, query.panel);
        for name in exported::mentioned(&expression) {
            assert!(known.contains(&name), "{} {}: {name}", query.dashboard, query.panel);
        }
        let quoted = serde_json::to_string(&expression).expect("JSON");
        writeln!(file, "      - record: dashboards:query:{n}\n        expr: {quoted}").expect("written");
    }
    let rules = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    fs::write(rules.path(), file).expect("written");
    succeed(
        Command::new(tool("promtool").expect("promtool"))
            .args(["check", "rules"])
            .arg(rules.path()),
    );
}

/// A fixed range is wrong at another scrape interval, or in another range of time than the one that is shown.
#[test]
fn ranges_follow_the_scrape_interval_or_the_time_that_is_shown() {
    let ranges = regex(r"[})]\[([^\]]*)\]");
    let mut found = 0;
    for query in queries(&all()) {
        for range in ranges.captures_iter(&query.expression) {
            let is_known = ["$__rate_interval", "$__range"].contains(&&range[1]);
            assert!(is_known, "{}: {}: {}", query.dashboard, query.panel, &range[0]);
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}

/// What a row of `narrows:…` says is of a whole cluster.
#[test]
fn every_selector_is_narrowed_to_clusters_and_nodes() {
    let selectors = regex(r"(narrows[_:][a-z0-9_:]*|process_[a-z_]*|ALERTS[A-Z_]*)\{([^}]*)\}");
    let mut found = 0;
    for query in queries(&all()) {
        let title = format!("{}: {}", query.dashboard, query.panel);
        for selector in selectors.captures_iter(&query.expression) {
            let (name, matchers) = (&selector[1], &selector[2]);
            assert!(
                matchers.contains("cluster=~\"$cluster\""),
                "{title}: {name}{{{matchers}}}"
            );
            assert!(
                name.starts_with("narrows:") || matchers.contains("node=~\"$node"),
                "{title}: {name}{{{matchers}}}"
            );
            // A recorded series has a node only where each node has a point of its own.
            if name.starts_with("narrows_point:") || name.starts_with("ALERTS") {
                assert!(matchers.contains("node=~\"$node|\""), "{title}: {name}{{{matchers}}}");
            }
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

/// `or vector(0)` is a series without labels: a line without a name. A single number needs none.
#[test]
fn every_series_in_a_legend_has_a_name() {
    let label = regex(r"\{\{([a-z_]+)\}\}");
    let all = all();
    let mut found = 0;
    for (title, panel) in shown(&all).filter(|(_, panel)| panel["type"] != "table") {
        let has_names = targets(panel).len() > 1 || panel["options"]["textMode"] != "value";
        for target in targets(panel).iter().filter(|_| has_names) {
            let legend = target["legendFormat"].as_str().expect("a legend");
            let expression = target["expr"].as_str().expect("a query");
            assert!(!["", "__auto"].contains(&legend), "{title}");
            // Labels that a series may lack are not all that it is called.
            let fixed = label.replace_all(legend, "");
            let certain = label
                .captures_iter(legend)
                .any(|found| !["cluster", "node"].contains(&&found[1]) && !expression.contains("vector("));
            assert!(
                certain || !fixed.trim().is_empty() || legend == "{{cluster}} {{node}}",
                "{title}: {legend}"
            );
            for label in label.captures_iter(legend) {
                let is_kept = expression.contains(&label[1]) || !expression.contains(" by (");
                assert!(is_kept, "{title}: {legend} of {expression}");
                found += 1;
            }
        }
        assert!(
            panel["type"] == "stat"
                || targets(panel)
                    .iter()
                    .all(|target| !target["expr"].to_string().contains("vector(")),
            "{title}"
        );
    }
    assert!(found > 50, "{found}");
}

/// Rows of several queries become one row when they have the same labels, which a name of a series would prevent. Those of a target,
/// such as `job`, are no columns.
#[test]
fn tables_have_the_labels_that_they_ask_for_and_no_others() {
    let aggregated = regex(r"^(label_replace\(|topk\(\d+, |time\(\) - |\()*(sum|max|min|count|group) by \(");
    let all = all();
    let mut found = 0;
    for (title, panel) in shown(&all).filter(|(_, panel)| panel["type"] == "table") {
        for target in targets(panel) {
            let expression = target["expr"].as_str().expect("a query");
            assert!(aggregated.is_match(expression), "{title}: {expression}");
            assert_eq!(
                (&target["instant"], &target["format"]),
                (&true.into(), &"table".into()),
                "{title}"
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}
