//! A kernel may refuse any single program: then its signal is off, visibly, and what is left is exact.

mod common;

use common::{World, expect, inventory, start_with, v4};
use narrows_testbed::{
    agent::Agent,
    command,
    load::{Behaviour, Plan, Server},
};

const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];

/// Every program of the agent, as `narrows check` lists them.
const LIFE_CYCLE: &[&str] = &["set_state", "set_state_twin", "walk", "amend"];
const WIRE_AND_NODE: &[&str] = &[
    "reset",
    "retransmit",
    "retransmit_synack",
    "cgroup_mkdir",
    "cgroup_rmdir",
];
const PROCESSES: &[&str] = &[
    "process_fork",
    "process_exit",
    "process_exec",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_switch",
];
const DELAYS: &[&str] = &[
    "data_arrived",
    "data_read",
    "data_sent",
    "accept_error",
    "packet_dropped",
    "packet_rejected",
    "peer_named4",
    "peer_named6",
];
const ALL: [&[&str]; 4] = [LIFE_CYCLE, WIRE_AND_NODE, PROCESSES, DELAYS];

// Several tests, as all of it takes longer on an emulated machine than a single test may.

#[test]
fn each_program_of_the_life_cycle_is_missed_alone() {
    each_is_missed_alone(LIFE_CYCLE);
}

#[test]
fn each_program_of_the_wire_and_the_node_is_missed_alone() {
    each_is_missed_alone(WIRE_AND_NODE);
}

#[test]
fn each_program_of_processes_is_missed_alone() {
    each_is_missed_alone(PROCESSES);
}

#[test]
fn each_program_of_delays_is_missed_alone() {
    each_is_missed_alone(DELAYS);
}

fn each_is_missed_alone(programs: &[&str]) {
    const COUNT: u64 = 100;
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let inventory = inventory(&[&checkout], &[&waypoint]);
    let server = waypoint.run(|| Server::start(v4(2, 15008), Behaviour::default()));
    let server = server.expect("it listens");
    for name in programs {
        let agent = start_with(&inventory, &["--off", name]);
        assert_eq!(
            checkout.run(|| Plan::burst(v4(2, 15008), COUNT).run()).ok,
            COUNT,
            "{name}"
        );
        let refused = Plan::burst(v4(2, 15009), 5);
        assert_eq!(checkout.run(|| refused.run()).refused, 5, "{name}");
        let total = COUNT as f64;
        agent.wait_for(name, |m| m.sum("narrows_connections_closed_total", DOWN) == total);
        let metrics = agent.settle();
        expect(
            &metrics,
            &[
                ("narrows_program_active", &[("program", name)], 0.0),
                ("narrows_connections_opened_total", DOWN, total),
                ("narrows_connections_active", DOWN, 0.0),
                ("narrows_received_bytes_total", DOWN, total * 512.0),
                ("narrows_sent_bytes_total", DOWN, total * 2048.0),
                ("narrows_connection_failures_total", DOWN, 0.0),
                ("narrows_client_connections_opened_total", POINT, total),
                (
                    "narrows_client_connection_failures_total",
                    &[("point", "shop/waypoint"), ("reason", "refused")],
                    5.0,
                ),
            ],
        );
        let status = agent.get_json("/api/v1/status")["programs"].clone();
        let status = status.as_array().expect("a list");
        let mut listed: Vec<_> = status
            .iter()
            .filter_map(|program| program["program"].as_str())
            .collect();
        let mut known = ALL.concat();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known, "each program is in a list here");
        let this = status.iter().find(|program| program["program"] == *name);
        let reason = this.expect("it is listed")["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(reason.contains("kernel.off"), "{name}: {reason}");
        is_null_without(&agent, name);
    }
    drop(server);
}

/// What only this program sees of a point is `null` in the API, and the program is named as the cause.
fn is_null_without(agent: &Agent, program: &str) {
    let lacking: &[&str] = match program {
        "walk" => &["accept_queues"],
        "packet_dropped" => &["drops"],
        _ => &[],
    };
    let points = agent.get_json("/api/v1/points");
    let id = points["points"][0]["id"].as_str().expect("an identifier");
    let detail = agent.get_json(&format!("/api/v1/points/{id}"));
    for what in ["accept_queues", "drops"] {
        let why = detail["missing"][what].as_str().unwrap_or_default();
        let (is_null, is_lacking) = (detail[what].is_null(), lacking.contains(&what));
        assert_eq!(
            (is_null, why.contains(&format!("program {program} is off"))),
            (is_lacking, is_lacking),
            "without {program}, {what}: {detail}"
        );
    }
}

#[test]
fn without_either_life_cycle_program_there_is_nothing_to_count() {
    let mut narrows = std::process::Command::new(common::binary());
    narrows.args(["agent", "--off", "set_state", "--off", "set_state_twin"]);
    let error = command::output(&mut narrows).expect("it runs");
    let said = String::from_utf8_lossy(&error.stderr);
    assert_eq!(error.status.code(), Some(1), "{said}");
    assert!(
        said.contains("set_state and set_state_twin, without one of which nothing can be counted"),
        "{said}"
    );
}
