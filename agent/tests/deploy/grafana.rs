//! The dashboards: complete, consistent, and about series that there are. What their queries return is seen in
//! `agent/tests/dependency`.

use super::manifests::{deploy, succeed};
use narrows::{catalogue, metrics::Family};
use narrows_testbed::{
    exported,
    grafana::{dashboards, queries},
    tools::tool,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    process::Command,
};

/// Values for variables without a choice of all.
fn values() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("workload_namespace", "shop"), ("workload", "a"), ("point", "shop/w")])
}

fn all() -> BTreeMap<String, Value> {
    dashboards(&deploy().join("grafana")).expect("dashboards")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

#[test]
fn each_panel_says_what_it_is_and_what_it_means_when_it_is_empty() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in all() {
        assert!(
            uids.insert(dashboard["uid"].as_str().expect("a uid").to_owned()),
            "{name}"
        );
        assert!(
            dashboard["description"].as_str().is_some_and(|text| text.len() > 20),
            "{name}"
        );
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = format!("{name}: {}", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}");
            if panel["type"] == "row" {
                continue;
            }
            for text in [
                &panel["description"],
                &panel["fieldConfig"]["defaults"]["unit"],
                &panel["fieldConfig"]["defaults"]["noValue"],
            ] {
                assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{title}");
            }
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{title}");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
    }
    assert_eq!(uids.len(), 5);
}

#[test]
fn no_panel_lies_over_another() {
    for (name, dashboard) in all() {
        let mut taken = BTreeMap::new();
        for panel in panels(&dashboard) {
            let at = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
            assert!(at("x") + at("w") <= 24, "{name}: {}", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    let other = taken.insert((x, y), panel["title"].clone());
                    assert_eq!(other, None, "{name}: {} at {x}, {y}", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn links_lead_to_dashboards_that_there_are() {
    let all = all();
    let uids: BTreeSet<&str> = all.values().filter_map(|dashboard| dashboard["uid"].as_str()).collect();
    let mut found = 0;
    for dashboard in all.values() {
        let text = dashboard.to_string();
        for rest in text.split("\"/d/").skip(1) {
            let uid = rest.split(['?', '"', '/']).next().expect("a uid");
            assert!(uids.contains(uid), "{uid}");
            found += 1;
        }
    }
    assert!(found > uids.len(), "{found}");
}

#[test]
fn every_query_is_valid_and_about_series_that_there_are() {
    let rules = fs::read_to_string(deploy().join("prometheus/rules.yaml")).expect("rules");
    let mut known = exported::mentioned(&rules);
    known.extend(catalogue::families().flat_map(Family::series));
    let mut file = String::from("groups:\n  - name: dashboards\n    rules:\n");
    for (n, query) in queries(&all()).into_iter().enumerate() {
        let expression = query.with(&values());
        assert!(
            !expression.contains('$'),
            "{} {}: {expression}",
            query.dashboard,
            query.panel
        );
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
