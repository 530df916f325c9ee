//! The recording rules, the alerts and their pages: valid, tested, complete, and about series that there are.

use super::manifests::{deploy, succeed};
use narrows::{
    catalogue,
    metrics::Family,
    points::{FailureDomain, Kind},
};
use narrows_testbed::{exported, tools::tool};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the rules are.
pub fn directory() -> PathBuf {
    deploy().join("prometheus")
}

/// A YAML file.
pub fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("a file");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    assert!(!files.is_empty(), "{}", directory.display());
    files.sort();
    files
}

/// The names of the groups of a file.
pub fn groups(name: &str) -> Vec<Value> {
    let file = read(&directory().join(name));
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().map(|group| group["name"].clone()).collect()
}

/// All rules of a file.
pub fn rules(name: &str) -> Vec<Value> {
    let file = read(&directory().join(name));
    let groups = file["groups"].as_array().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn rules_and_alerts_do_what_their_tests_say() {
    let promtool = tool("promtool").expect("promtool");
    for name in ["rules.yaml", "alerts.yaml"] {
        succeed(
            Command::new(&promtool)
                .args(["check", "rules"])
                .arg(directory().join(name)),
        );
    }
    succeed(
        Command::new(&promtool)
            .args(["test", "rules"])
            .args(files(&directory().join("tests"), "yaml")),
    );
}

#[test]
fn each_alert_has_a_page_a_severity_and_links() {
    let mut alerts = BTreeSet::new();
    for alert in rules("alerts.yaml") {
        let name = text(&alert["alert"]).to_owned();
        for annotation in ["summary", "description"] {
            assert!(!text(&alert["annotations"][annotation]).is_empty(), "{name}");
        }
        assert!(
            ["critical", "warning", "info"].contains(&text(&alert["labels"]["severity"])),
            "{name}"
        );
        let page = format!("https://narrows.example/runbooks/{name}.md");
        assert_eq!(text(&alert["annotations"]["runbook_url"]), page);
        assert!(
            text(&alert["annotations"]["dashboard"]).starts_with("https://narrows.example/grafana/d/narrows-"),
            "{name}"
        );
        alerts.insert(name);
    }
    let pages: BTreeSet<_> = files(&deploy().join("runbooks"), "md")
        .iter()
        .map(|page| page.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(pages, alerts);
}

/// What the tests of this directory say of alerts: the name of the alert, whether it fires, and the name of the test.
pub fn cases() -> Vec<(String, bool, String)> {
    let mut all = Vec::new();
    for file in files(&directory().join("tests"), "yaml") {
        for case in read(&file)["tests"].as_array().expect("tests") {
            for check in case["alert_rule_test"].as_array().into_iter().flatten() {
                let fires = !check["exp_alerts"].as_array().expect("a list").is_empty();
                all.push((
                    text(&check["alertname"]).to_owned(),
                    fires,
                    text(&case["name"]).to_owned(),
                ));
            }
        }
    }
    all
}

#[test]
fn each_alert_about_a_point_names_who_is_hit_and_asks_in_its_own_cluster() {
    // Quoted as PromQL wants it, whatever the names are made of; without clusters their label is empty, as it is in the series.
    let own = "{{ $of := printf \"cluster=%q,point=%q,kind=%q,mesh=%q\" $labels.cluster $labels.point $labels.kind $labels.mesh }}";
    for alert in rules("alerts.yaml") {
        let (name, description) = (text(&alert["alert"]), text(&alert["annotations"]["description"]));
        let of_a_point = text(&alert["annotations"]["summary"]).contains("$labels.point");
        assert_eq!(
            of_a_point,
            alert["labels"]["namespace"] == "{{ reReplaceAll \"/.*\" \"\" $labels.point }}",
            "{name}"
        );
        if of_a_point && name != "NarrowsPolicyBypassed" {
            assert!(description.starts_with(own), "{name}: {description}");
            assert!(description.contains("source_workload"), "{name}: {description}");
        }
        // Each query has the labels of the point, or those of the cluster at least.
        let asked = description.matches("| query").count();
        let within = description.matches("{%s").count().min(asked) + description.matches("{cluster=%q").count();
        assert!(within >= asked, "{name}: {description}");
    }
}

#[test]
fn the_failure_domain_of_a_kind_is_the_same_in_rules_and_report() {
    let of_nodes: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.failure_domain() == FailureDomain::Node)
        .map(Kind::label)
        .collect();
    for file in ["rules.yaml", "alerts.yaml"] {
        let text = fs::read_to_string(directory().join(file)).expect("a file");
        for (before, _) in text.match_indices("ztunnel|").map(|(at, _)| text.split_at(at)) {
            let rest = &text[before.len()..];
            let kinds = rest
                .split(['"', ')'])
                .next()
                .expect("a list")
                .trim_end_matches("|sidecar");
            assert_eq!(kinds.split('|').collect::<Vec<_>>(), of_nodes, "{file}: {kinds}");
        }
    }
}

#[test]
fn each_rule_has_a_test() {
    let tests: String = ["rules.yaml", "trends.yaml", "verdicts.yaml"]
        .map(|name| fs::read_to_string(directory().join("tests").join(name)).expect("tests"))
        .concat();
    for rule in rules("rules.yaml") {
        let name = text(&rule["record"]);
        // What only others are made of is tested with them.
        let used = name == "narrows_point:worst_saturation:max" && tests.contains("narrows_point:choke_risk:ratio");
        let asked = ["'", "'round("].map(|before| format!("{before}{name}"));
        assert!(asked.iter().any(|text| tests.contains(text)) || used, "{name}");
    }
}

#[test]
fn all_series_are_exported_or_recorded() {
    let recorded: BTreeSet<String> = rules("rules.yaml")
        .iter()
        .map(|rule| text(&rule["record"]).to_owned())
        .collect();
    let exported: BTreeSet<String> = catalogue::families().flat_map(Family::series).collect();
    let mut documents: Vec<PathBuf> = files(&directory(), "yaml");
    documents.extend(files(&deploy().join("runbooks"), "md"));
    for document in documents {
        for name in exported::mentioned(&fs::read_to_string(&document).expect("a file")) {
            assert!(
                recorded.contains(&name) || exported.contains(&name),
                "{}: {name}",
                document.display()
            );
        }
    }
}
