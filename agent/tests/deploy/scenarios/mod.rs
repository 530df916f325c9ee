//! Alerts in a cluster of forty nodes of which few are bad, and during roll-outs in which nothing is: which nodes, points and
//! workloads are named, and that nothing else is said.

mod cases;
mod cluster;
mod near;
mod rollouts;
mod table;
mod world;

use super::{
    manifests::succeed,
    prometheus::{directory, groups, read},
};
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, process::Command};
use world::World;

/// The labels that say what an alert is about.
const ABOUT: &str = "alertname, severity, scope, cause, namespace, point, node, instance_pod, port, resource, program, what, \
                     destination_workload, workload";

/// A scenario, and the alerts that fire at its end.
struct Scenario {
    name: String,
    world: World,
    /// All that fire, with the labels of [`ABOUT`] that they have.
    fires: Vec<String>,
    /// All alerts of some names, as they are to be read.
    says: Vec<Said>,
}

/// An alert as a person reads it.
struct Said {
    alert: &'static str,
    labels: Vec<(&'static str, String)>,
    summary: String,
    description: String,
}

impl Said {
    /// As promtool expects it.
    fn expected(&self) -> Value {
        let labels: BTreeMap<_, _> = self
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let node = labels
            .get("node")
            .map(|node| format!("&var-node={node}"))
            .unwrap_or_default();
        let dashboard = match labels.get("point") {
            Some(point) => format!("narrows-point?var-point={point}{node}"),
            None => "narrows-overview?var-datasource=default".to_owned(),
        };
        json!({
            "exp_labels": labels,
            "exp_annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": format!("https://narrows.example/runbooks/{}.md", self.alert),
                "dashboard": format!("https://narrows.example/grafana/d/{dashboard}"),
            },
        })
    }
}

impl Scenario {
    /// What promtool is to check: which alerts fire at the end or, where nothing is wrong, have fired at any time.
    fn test(&self) -> Value {
        let firing = "ALERTS{alertstate=\"firing\"}";
        let at_the_end = format!("{}m", world::MINUTES - 1);
        let expression = if self.fires.is_empty() {
            format!("group by ({ABOUT}) (last_over_time({firing}[{}m]))", world::MINUTES)
        } else {
            format!("group by ({ABOUT}) ({firing})")
        };
        let samples = self
            .fires
            .iter()
            .map(|labels| json!({ "labels": format!("{{{labels}}}"), "value": 1 }));
        let mut said: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for alert in &self.says {
            said.entry(alert.alert).or_default().push(alert.expected());
        }
        let said = said
            .into_iter()
            .map(|(alert, all)| json!({ "eval_time": at_the_end, "alertname": alert, "exp_alerts": all }));
        json!({
            "name": self.name,
            "interval": "1m",
            "input_series": self.world.input(),
            "promql_expr_test": [{
                "expr": expression,
                "eval_time": at_the_end,
                "exp_samples": samples.collect::<Vec<_>>(),
            }],
            "alert_rule_test": said.collect::<Vec<_>>(),
        })
    }
}

/// Runs scenarios, in one file each so that an error names it.
fn run(scenarios: &[Scenario]) {
    let promtool = tool("promtool").expect("promtool");
    let written = tempfile::tempdir().expect("a directory");
    let order: Vec<Value> = ["rules.yaml", "alerts.yaml"]
        .iter()
        .flat_map(|file| groups(file))
        .collect();
    // No alert rests on trends, which take days of values.
    let rules = written.path().join("rules.json");
    let groups = read(&directory().join("rules.yaml"))["groups"].clone();
    let groups = groups.as_array().expect("groups").iter();
    let groups: Vec<_> = groups.filter(|group| group["name"] != "narrows-trends").collect();
    fs::write(&rules, json!({ "groups": groups }).to_string()).expect("it can be written");
    let files: Vec<_> = (scenarios.iter().enumerate())
        .map(|(n, scenario)| {
            let file = written.path().join(format!("{n}.json"));
            let test = json!({
                "rule_files": [rules, directory().join("alerts.yaml")],
                "evaluation_interval": "1m",
                "group_eval_order": order,
                "tests": [scenario.test()],
            });
            fs::write(&file, test.to_string()).expect("it can be written");
            file
        })
        .collect();
    succeed(Command::new(promtool).args(["test", "rules"]).args(files));
}

#[test]
fn of_forty_nodes_the_bad_ones_are_named_and_no_others() {
    run(&cases::all().map(cases::scenario));
}

#[test]
fn roll_outs_in_which_nothing_is_wrong_are_quiet() {
    run(&rollouts::all());
}

#[test]
fn near_misses_are_quiet() {
    run(&[near::scenario()]);
}
