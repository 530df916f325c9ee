//! Alerts in a cluster of forty nodes of which few are bad, and during roll-outs in which nothing is: which nodes, points and
//! workloads are named, and that nothing else is said.

mod cases;
mod cluster;
mod rollouts;
mod world;

use super::{
    manifests::succeed,
    prometheus::{directory, rules},
};
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, process::Command};
use world::World;

/// The labels that say what an alert is about.
const ABOUT: &str = "alertname, severity, scope, cause, namespace, point, node, instance_pod, port, resource, program, what, \
                     destination_workload, workload, value";

/// A scenario, and the alerts that fire at its end.
struct Scenario {
    name: String,
    world: World,
    /// All that fire, with the labels of [`ABOUT`] that they have.
    fires: Vec<String>,
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
        let samples = self.fires.iter().map(|labels| json!({ "labels": format!("{{{labels}}}"), "value": 1 }));
        json!({
            "name": self.name,
            "interval": "1m",
            "input_series": self.world.input(),
            "promql_expr_test": [{
                "expr": expression,
                "eval_time": at_the_end,
                "exp_samples": samples.collect::<Vec<_>>(),
            }],
        })
    }
}

/// Runs scenarios, in one file each so that an error names it.
fn run(scenarios: &[Scenario]) {
    let promtool = tool("promtool").expect("promtool");
    let written = tempfile::tempdir().expect("a directory");
    let order: Vec<Value> = ["rules.yaml", "alerts.yaml"]
        .iter()
        .flat_map(|file| super::prometheus::groups(file))
        .collect();
    let files: Vec<_> = (scenarios.iter().enumerate())
        .map(|(n, scenario)| {
            let file = written.path().join(format!("{n}.json"));
            let test = json!({
                "rule_files": [directory().join("rules.yaml"), directory().join("alerts.yaml")],
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
fn each_alert_is_one_of_many_in_a_scenario() {
    let cases = cases::all();
    let named: BTreeSet<String> = cases
        .iter()
        .flatten()
        .flat_map(|case| &case.fires)
        .filter_map(|labels| Some(labels.split_once("alertname=\"")?.1.split_once('"')?.0.to_owned()))
        .collect();
    let alerts: BTreeSet<String> = rules("alerts.yaml")
        .iter()
        .map(|alert| alert["alert"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(named, alerts);
}
