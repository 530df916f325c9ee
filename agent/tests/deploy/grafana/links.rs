//! Links: to dashboards that there are, with variables that these have, and from a row with the row's own cluster.

use super::{all, panels, targets, variables};
use crate::manifests::deploy;
use regex::Regex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// A link, and the panel that has it: none for the links of a dashboard.
struct Link<'a> {
    place: String,
    url: &'a str,
    panel: Option<&'a Value>,
}

fn links(all: &BTreeMap<String, Value>) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for (name, dashboard) in all {
        for link in dashboard["links"].as_array().expect("links") {
            let url = link["url"].as_str().expect("a URL");
            assert_eq!(link["keepTime"], true, "{name}: {url}");
            links.push(Link {
                place: name.clone(),
                url,
                panel: None,
            });
        }
        for panel in panels(dashboard) {
            let overrides = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
            let properties = overrides.flat_map(|each| each["properties"].as_array().expect("properties"));
            let values = properties.filter(|property| property["id"] == "links");
            for link in values.flat_map(|property| property["value"].as_array().expect("links")) {
                links.push(Link {
                    place: format!("{name}: {}", panel["title"]),
                    url: link["url"].as_str().expect("a URL"),
                    panel: Some(panel),
                });
            }
        }
    }
    links
}

#[test]
fn links_lead_to_dashboards_that_there_are_with_their_variables() {
    let all = all();
    let by_uid: BTreeMap<&str, &Value> = (all.values())
        .map(|dashboard| (dashboard["uid"].as_str().expect("a uid"), dashboard))
        .collect();
    let found = links(&all);
    assert!(found.len() > 20, "{}", found.len());
    let mut reached = BTreeSet::new();
    for Link { place, url, .. } in &found {
        let (uid, query) = url
            .strip_prefix("/d/")
            .and_then(|rest| rest.split_once('?'))
            .expect("a link to a dashboard");
        let target = by_uid
            .get(uid)
            .unwrap_or_else(|| panic!("{place}: there is no dashboard {uid}"));
        reached.insert(uid);
        assert!(query.contains("${datasource:queryparam}"), "{place}: {url}");
        for part in query.split('&') {
            let variable = match part.strip_prefix("var-") {
                Some(pair) => pair.split('=').next().expect("a name"),
                None => part.trim_start_matches("${").trim_end_matches(":queryparam}"),
            };
            assert!(
                variables(target).any(|known| known["name"] == variable),
                "{place}: {uid} has no variable {variable}"
            );
        }
    }
    assert_eq!(reached.len(), all.len(), "{reached:?}");
}

/// With several clusters chosen, or all, a row is about one of them. Where it has no label `cluster`, or no node, the link chooses all.
#[test]
fn links_of_rows_have_the_cluster_of_the_row() {
    let field = Regex::new(r"\$\{__data\.fields\.([a-z_]+)\}").expect("a regular expression");
    let all = all();
    let mut rows = 0;
    for Link { place, url, panel } in links(&all) {
        let Some(panel) = panel else {
            assert!(
                url.contains("${cluster:queryparam}&${node:queryparam}"),
                "{place}: {url}"
            );
            continue;
        };
        assert!(
            url.contains("var-cluster=${__data.fields.to_cluster}"),
            "{place}: {url}"
        );
        let first = targets(panel)[0]["expr"].as_str().expect("a query");
        let organize = &panel["transformations"][1]["options"];
        for found in field.captures_iter(url) {
            let name = &found[1];
            let is_column = organize["renameByName"]
                .as_object()
                .expect("names")
                .values()
                .any(|shown| shown == name)
                || organize["indexByName"].get(name).is_some();
            match name.strip_prefix("to_") {
                Some(label @ ("cluster" | "node")) => {
                    let otherwise = format!("\"to_{label}\", \"$$__all\", \"\", \"\")");
                    let own = format!("\"to_{label}\", \"$1\", \"{label}\", \"(.+)\")");
                    assert!(first.contains(&otherwise) && first.contains(&own), "{place}: {first}");
                }
                _ => assert!(is_column, "{place}: there is no column {name}"),
            }
        }
        rows += 1;
    }
    assert!(rows >= 10, "{rows}");
}

/// An alert leads to the dashboard of what it is about, by the annotation `dashboard`.
#[test]
fn alerts_lead_to_dashboards_that_there_are_with_their_variables() {
    let link = Regex::new(r"/d/([a-z-]+)\?(\S+)").expect("a regular expression");
    let variable = Regex::new(r"var-([a-z_]+)=").expect("a regular expression");
    let all = all();
    let alerts = fs::read_to_string(deploy().join("prometheus/alerts.yaml")).expect("alerts");
    let lines: Vec<&str> = alerts
        .lines()
        .filter(|line| line.trim_start().starts_with("dashboard: "))
        .collect();
    assert!(lines.len() > 10, "{lines:#?}");
    for line in lines {
        let found = link.captures(line).unwrap_or_else(|| panic!("{line} has no dashboard"));
        let target = all.values().find(|dashboard| dashboard["uid"] == found[1]);
        let target = target.unwrap_or_else(|| panic!("there is no dashboard {}", &found[1]));
        for name in variable.captures_iter(line) {
            let is_known = variables(target).any(|known| known["name"] == name[1]);
            assert!(is_known, "{} has no variable {}: {line}", &found[1], &name[1]);
        }
    }
}
