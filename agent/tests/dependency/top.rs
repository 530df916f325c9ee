//! `narrows top` of a running agent.

use super::{
    call,
    common::{World, binary, inventory, start, v4},
    serve,
};
use narrows_testbed::{agent::Agent, command};
use serde_json::Value;
use std::process::Command;

fn top(agent: &Agent, flag: &str) -> String {
    let mut command = Command::new(binary());
    command.args(["top", flag, "--agent", &format!("http://{}", agent.address())]);
    let output = command::output(&mut command).expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn top_has_the_points_of_a_running_agent() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let _server = serve(&waypoint, v4(2, 15008));
    call(&checkout, v4(2, 15008), 7);
    agent.settle();
    let list: Value = serde_json::from_str(&top(&agent, "--json")).expect("JSON");
    let point = &list["points"][0];
    assert_eq!(
        (
            &point["name"],
            &point["load"]["downstream"]["opened_total"],
            &point["dependents"]["workloads"]
        ),
        (&"shop/waypoint".into(), &7.into(), &1.into()),
        "{list:#}"
    );
    let table = top(&agent, "--once");
    let (titles, row) = table.split_once('\n').expect("titles and a point");
    assert!(
        titles.starts_with("STATE") && row.contains(" shop/waypoint "),
        "{table}"
    );
    let column = titles.find("DEPS").expect("a column");
    let dependents: String = row.chars().skip(column).take(4).collect();
    assert_eq!(dependents.trim(), "1", "{table}");
}
