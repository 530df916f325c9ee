//! All nodes through the agent of one: real agents, each in a network of its own, with one that hangs, one that refuses and one that is
//! none. `agent/src/export/fleet_tests` has the other ways of failing.

mod common;

use common::{World, binary, inventory, start_server, v4};
use narrows_testbed::{agent::Agent, command, load::Plan, wait, workload::Workload};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, Output},
    time::{Duration, Instant},
};

/// A question of which a peer does not answer takes three seconds; more on a machine that stands still for a while, but not for ever.
const BOUND: Duration = Duration::from_secs(60);

/// Where each agent serves metrics, in its own network; and the port of its API, for its peers.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);
const API: u16 = 9798;

/// An agent that does not go on until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(agent: &Agent) -> Self {
        let pid = Pid::from_raw(agent.pid().try_into().expect("a process"));
        kill(pid, Signal::SIGSTOP).expect("it is there");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

/// The agent of a node whose host is this, with these peers.
fn start(host: &Workload, name: &str, inventory: &str, peers: &str) -> Agent {
    let listen = format!("{}:{API}", host.addresses[0]);
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(config.path(), "api: { anonymous: true }\n").expect("written");
    let config = config.path().to_str().expect("UTF-8");
    let arguments = [
        "--config",
        config,
        "--node",
        name,
        "--api-listen",
        &listen,
        "--peers",
        peers,
    ];
    Agent::start_in_network(binary(), inventory, LOCAL, &host.netns, &arguments).expect("it starts")
}

/// What the command line says in the network of this node.
fn narrows(host: &Workload, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .env("NARROWS_AGENT", format!("{}:{API}", host.addresses[0]));
    host.netns.run(|| command::output(&mut command)).expect("it starts")
}

/// Its JSON, and what it says on stderr.
fn json(host: &Workload, arguments: &[&str]) -> (Value, String) {
    let output = narrows(host, arguments);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), said)
}

fn waypoint(list: &Value) -> &Value {
    let mut points = list["points"].as_array().expect("points").iter();
    points.find(|point| point["name"] == "shop/catalog").expect("the point")
}

#[test]
fn one_agent_answers_for_all_nodes_and_says_which_do_not() {
    let world = World::new();
    let [one, two, three] = [("one", 31), ("two", 32), ("three", 33)].map(|(name, n)| world.workload(name, n));
    let (checkout, point) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let _server = start_server(&point);
    // The second node has the point. The first one knows it by its address, and has its caller.
    let instance = |text: String, cgroup: bool| {
        let here = format!(", cgroup: {} }}", point.cgroup.path());
        let pod = ", instance_pod: catalog-1";
        text.replace(
            &here,
            &if cgroup {
                format!("{pod}{here}")
            } else {
                format!("{pod} }}")
            },
        )
    };
    let near = instance(inventory(&[&checkout], &[&point]), false);
    let far = instance(inventory(&[], &[&point]), true);
    // Itself, the others, nobody, and what is no agent.
    let peers = format!(
        "10.90.0.31:{API},http://10.90.0.32:{API},10.90.0.33:{API},10.90.0.32:1,{}",
        v4(21, 8080)
    );
    let first = start(&one, "one", &near, &peers);
    let _second = start(&two, "two", &far, &peers);
    let third = start(&three, "three", "workloads: []\n", &peers);
    let sees = |list: &Value| {
        let point = waypoint(list);
        point["node"] == "two" && point["local"] == true && point["views_total"] == 1
    };
    let seen = wait::until("both views of the point", BOUND, || {
        assert_eq!(checkout.run(|| Plan::burst(v4(21, 8080), 5).run()).ok, 5);
        let (list, _) = json(&one, &["top", "--all-nodes", "--json"]);
        (sees(&list) && list["nodes"]["answered"] == serde_json::json!(["one", "three", "two"])).then_some(list)
    });
    let list = seen.expect("as its own agent and its callers' tell");
    assert_eq!(waypoint(&list)["views"][0]["node"], "one");
    // Nobody listens there: only the caller's node can tell.
    assert_eq!(checkout.run(|| Plan::burst(v4(21, 9), 3).run()).refused, 3);
    let asked = ["failures", "--all-nodes", "--point", "shop/catalog", "--json"];
    let told = wait::until("the failures", BOUND, || {
        let text = String::from_utf8(narrows(&one, &asked).stdout).expect("UTF-8");
        let refused = |line: &&str| line.contains(r#""reason":"refused""#) && line.contains(r#""node":"one""#);
        (text.lines().filter(refused).count() == 3).then_some(())
    });
    told.expect("failures that the first node has seen");

    let _stopped = Stopped::new(&third);
    let partial = wait::until("what answers", BOUND, || {
        let begin = Instant::now();
        let (list, said) = json(&one, &["top", "--all-nodes", "--json"]);
        assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
        (sees(&list) && list["nodes"]["answered"] == serde_json::json!(["one", "two"])).then_some(said)
    });
    let said = partial.expect("all but the one that does not go on");
    for part in [
        format!("node three (agent at 10.90.0.33:{API}) is missing: no complete answer within 3.0 s"),
        "the node of the agent at 10.90.0.32:1 is missing: cannot connect: Connection refused".to_owned(),
        "the node of the agent at 10.90.0.21:8080 is missing: ".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    // The agent itself goes on.
    first.settle();
}
