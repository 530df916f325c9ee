//! The dashboards: complete, consistent, and about series that there are. What their queries return is seen by
//! `cargo xtask demo --prometheus`, what they look like by `cargo xtask dashboards`.

mod links;
mod queries;
mod schema;

use super::manifests::deploy;
use narrows::points::Kind;
use narrows_testbed::grafana::dashboards;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn all() -> BTreeMap<String, Value> {
    dashboards(&deploy().join("grafana")).expect("dashboards")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

/// The panels of all dashboards that show something, with a name for messages.
fn shown(all: &BTreeMap<String, Value>) -> impl Iterator<Item = (String, &Value)> {
    let of = |(name, dashboard)| panels(dashboard).map(move |panel| (format!("{name}: {}", panel["title"]), panel));
    all.iter().flat_map(of).filter(|(_, panel)| panel["type"] != "row")
}

fn targets(panel: &Value) -> &[Value] {
    panel["targets"].as_array().map_or(&[], Vec::as_slice)
}

fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["templating"]["list"].as_array().expect("variables").iter()
}

#[test]
fn each_panel_says_what_it_is_and_what_it_means_when_it_is_empty() {
    let all = all();
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for (name, dashboard) in &all {
        assert!(uids.insert(dashboard["uid"].as_str().expect("a uid")), "{name}");
        assert!(titles.insert(dashboard["title"].as_str().expect("a title")), "{name}");
        assert!(
            dashboard["description"].as_str().is_some_and(|text| text.len() > 20),
            "{name}"
        );
        let mut ids = BTreeSet::new();
        for panel in panels(dashboard) {
            assert!(
                ids.insert(panel["id"].as_u64().expect("an id")),
                "{name}: {}",
                panel["title"]
            );
        }
    }
    assert_eq!(uids.len(), 5);
    for (title, panel) in shown(&all) {
        for text in [
            &panel["title"],
            &panel["description"],
            &panel["fieldConfig"]["defaults"]["unit"],
            &panel["fieldConfig"]["defaults"]["noValue"],
        ] {
            assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{title}");
        }
        assert!(!targets(panel).is_empty(), "{title}");
        for target in targets(panel).iter().chain([panel]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
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

/// Where a label does not exist, as `cluster` with a single one, *All* has to match series without it.
#[test]
fn every_dashboard_can_be_narrowed_to_clusters_and_nodes() {
    for (name, dashboard) in all() {
        let of = |wanted: &str| {
            variables(&dashboard)
                .find(|variable| variable["name"] == wanted)
                .cloned()
        };
        assert_eq!(
            of("datasource").expect("a data source")["query"],
            "prometheus",
            "{name}"
        );
        for wanted in ["cluster", "node"] {
            let variable = of(wanted).unwrap_or_else(|| panic!("{name} has no variable {wanted}"));
            assert_eq!(variable["multi"], true, "{name}: {wanted}");
        }
        for variable in variables(&dashboard).filter(|variable| variable["type"] != "datasource") {
            let title = format!("{name}: ${}", variable["name"]);
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{title}");
            let query = variable["query"]["query"].as_str().expect("a query");
            assert!(query.starts_with("label_values("), "{title}: {query}");
            assert!(
                query.contains("cluster=~\"$cluster\"") || variable["name"] == "cluster",
                "{title}: {query}"
            );
            if variable["multi"] == true {
                assert_eq!(variable["current"]["value"][0], "$__all", "{title}");
                assert!(
                    variable["allValue"].as_str().is_some_and(|all| !all.is_empty()),
                    "{title}"
                );
            }
        }
    }
}

#[test]
fn the_overview_leaves_sidecars_out_unless_they_are_asked_for() {
    let all = all();
    let kind = variables(&all["overview"])
        .find(|variable| variable["name"] == "kind")
        .expect("a variable");
    let shared = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Sidecar)
        .map(Kind::label);
    let value = kind["allValue"].as_str().expect("a pattern");
    assert_eq!(value.split('|').collect::<Vec<_>>(), shared.collect::<Vec<_>>());
    assert!(
        kind["label"]
            .as_str()
            .is_some_and(|label| label.contains("without sidecars"))
    );
}
