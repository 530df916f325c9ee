//! Three nodes, each with its agent, and a real Prometheus that scrapes them: what the recording rules make of a point that has
//! an instance on two of them.

use super::{
    common::{World, binary, v4},
    proxy, serve, watch,
};
use narrows_testbed::{
    actor::Actor,
    agent::Agent,
    command,
    load::Plan,
    process::Placement,
    prometheus::{Prometheus, Sample},
    workload::Workload,
};
use std::{collections::BTreeSet, fmt::Write as _, process::Command, time::Duration};

/// Every rule has its value by then, or something is wrong.
const LONGEST: Duration = Duration::from_secs(60);

/// A node: who runs on it. Of all others it knows the addresses.
struct Node<'a> {
    name: &'a str,
    here: Vec<&'a Workload>,
    /// The instance of the waypoint that runs on it.
    instance: Option<(&'a str, &'a Workload)>,
}

impl Node<'_> {
    fn inventory(&self, everybody: &[&Workload]) -> String {
        let mut text = String::from("workloads:\n");
        for workload in everybody {
            let (name, address) = (workload.netns.name(), workload.addresses[0]);
            write!(
                text,
                "  - {{ name: {name}, namespace: shop, service_account: {name}, addresses: [{address}]"
            )
            .expect("written");
            if self.here.iter().any(|here| here.netns.name() == name) {
                let (netns, cgroup) = (workload.netns.path().display(), workload.cgroup.path());
                write!(text, ", netns: {netns}, cgroup: {cgroup}").expect("written");
            }
            text.push_str(" }\n");
        }
        text.push_str("points:\n  - { name: waypoint, namespace: shop, kind: waypoint, mesh: istio, addresses: [10.90.0.2, 10.90.0.3]");
        if let Some((pod, workload)) = self.instance {
            write!(text, ", instance_pod: {pod}, cgroup: {}", workload.cgroup.path()).expect("written");
        }
        text.push_str(" }\n");
        text
    }
}

/// The only value of a query; all labels as text when there is another number of them.
#[track_caller]
fn value(prometheus: &Prometheus, query: &str) -> f64 {
    let found = prometheus
        .wait_for(query, LONGEST, query)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", prometheus.log()));
    match found.as_slice() {
        [Sample { value, .. }] => *value,
        several => panic!("{query}: {several:#?}"),
    }
}

#[test]
fn rules_make_one_point_of_instances_on_several_nodes() {
    let world = World::new();
    let names = [("a", 11), ("b", 12), ("c", 13), ("d", 14), ("catalog", 21)];
    let workloads = names.map(|(name, n)| world.workload(name, n));
    let everybody: Vec<&Workload> = workloads.iter().collect();
    let [a, b, c, d, catalog] = &workloads;
    let (first, second) = (world.workload("first", 2), world.workload("second", 3));
    let nodes = [
        Node {
            name: "one",
            here: vec![a, b],
            instance: Some(("waypoint-1", &first)),
        },
        Node {
            name: "two",
            here: vec![c],
            instance: Some(("waypoint-2", &second)),
        },
        Node {
            name: "three",
            here: vec![d, catalog],
            instance: None,
        },
    ];
    let agents: Vec<Agent> = nodes
        .iter()
        .map(|node| Agent::start(binary(), &node.inventory(&everybody), &[]).expect("an agent"))
        .collect();
    let _server = serve(catalog, v4(21, 8080));
    let _first = proxy(&Placement::from(&first), v4(2, 8080), v4(21, 8080));
    let _second = proxy(&Placement::from(&second), v4(3, 8080), v4(21, 8080));
    let prometheus = watch(nodes.iter().map(|node| node.name).zip(&agents));
    // All of them are there before the traffic that is to be counted.
    assert_eq!(value(&prometheus, "count(narrows_build_info) == 3"), 3.0);
    // Who calls both instances is one dependent; b has another way, too. All the time, as rates need it.
    let mut clients = Vec::new();
    for (who, to_first, to_second, past) in [
        (a, 12.0, 4.0, 0.0),
        (b, 6.0, 2.0, 8.0),
        (c, 6.0, 2.0, 0.0),
        (d, 6.0, 2.0, 0.0),
    ] {
        for (to, rate) in [(v4(2, 8080), to_first), (v4(3, 8080), to_second), (v4(21, 8080), past)] {
            let plan = Plan {
                rate,
                count: None,
                ..Plan::burst(to, 0)
            };
            if rate > 0.0 {
                clients.push(Actor::client(who, &plan).expect("a client"));
            }
        }
    }
    let point = "{point=\"shop/waypoint\",kind=\"waypoint\",mesh=\"istio\"}";
    for (rule, expected) in [
        ("narrows_point:dependents:count", 4.0),
        ("narrows_point:dependents_without_another_way:count", 3.0),
        ("narrows_point:served:count", 1.0),
        ("narrows_point:instances:count", 2.0),
        ("narrows_point:nodes:count", 2.0),
        ("narrows_point:failures_self:ratio5m", 0.0),
        ("narrows_point:failures_client:ratio5m", 0.0),
    ] {
        let awaited = format!("abs({rule}{point} - {expected}) < 0.01");
        value(&prometheus, &awaited);
    }
    // 30 of 40 at the first, so that it has half as much again as the mean of 20; as nearly as rates are.
    let skew = format!("abs(narrows_point:instance_skew:ratio{point} - 1.5) < 0.2");
    value(&prometheus, &skew);
    let worst = value(&prometheus, &format!("narrows_point:worst_saturation:max{point}"));
    assert!((0.0..=1.0).contains(&worst), "{worst}");
    // Four of the five workloads that there are depend on it.
    value(&prometheus, "narrows:workloads:count == 5");
    let risk = value(&prometheus, &format!("narrows_point:choke_risk:ratio{point}"));
    assert!((0.0..=0.8).contains(&risk), "{risk}");
    assert_eq!(prometheus.broken_rules().expect("an answer"), vec![]);
    let firing = prometheus.firing().expect("an answer");
    let names: Vec<_> = firing.iter().filter_map(|alert| alert.get("alertname")).collect();
    assert!(names.iter().all(|name| *name != "NarrowsAgentDown"), "{firing:#?}");
    reports(&prometheus, &agents[0]);
    policies(&prometheus, &agents[0]);
    drop(clients);
}

/// What `narrows report` makes of all three agents, and of one of them.
fn reports(prometheus: &Prometheus, agent: &Agent) {
    let all = format!("http://{}", prometheus.address());
    let (markdown, html, json) = (
        run("report", &["--prometheus", &all, "--window", "1m"]),
        run("report", &["--prometheus", &all, "--window", "1m", "--format", "html"]),
        run("report", &["--prometheus", &all, "--window", "1m", "--format", "json"]),
    );
    for part in [
        "Most critical: waypoint shop/waypoint. 4 workloads depend on it, 3 of them without another way out.",
        "2 on 2 nodes",
        "- Without any way out: shop/a, shop/c, shop/d.",
        "Lose a part of their connections: shop/b (",
        "Blind spots",
    ] {
        assert!(markdown.contains(part), "{part}\n{markdown}");
    }
    assert!(html.contains("<td>2 on 2 nodes</td>"), "{html}");
    // Who depends on what, the ranking, and how full it was.
    assert_eq!(html.matches("<svg ").count(), 3, "{html}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &json["findings"]["ranking"][0];
    assert_eq!(
        (&first["dependents"], &first["nodes"]),
        (&4.into(), &2.into()),
        "{first}"
    );
    let was_full = |report: &serde_json::Value| {
        let values = report["saturation_over_time"]["courses"][0]["values"].clone();
        let values: Vec<(f64, f64)> = serde_json::from_value(values).expect("times and values");
        let are_ratios = values.iter().all(|(_, ratio)| (0.0..=1.0).contains(ratio));
        assert!(!values.is_empty() && are_ratios, "{values:?}");
    };
    was_full(&json);
    // One node knows its own two callers, and not how many instances there are elsewhere.
    let one = format!("http://{}", agent.address());
    let json = run("report", &["--agent", &one, "--format", "json"]);
    was_full(&serde_json::from_str(&json).expect("JSON"));
    let markdown = run("report", &["--agent", &one]);
    for part in ["Only one node is covered.", "1 on 1 node", "shop/a (100 %)"] {
        assert!(
            markdown.contains(part) || markdown.contains("Without any way out: shop/a"),
            "{part}\n{markdown}"
        );
    }
}

/// What `narrows policy` drafts from all three agents, and from one of them.
fn policies(prometheus: &Prometheus, agent: &Agent) {
    let allowed = |draft: &str| -> BTreeSet<String> {
        let lines = draft
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("- cluster.local/ns/shop/sa/"));
        lines
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect()
    };
    let all = format!("http://{}", prometheus.address());
    let draft = run(
        "policy",
        &["--point", "shop/waypoint", "--prometheus", &all, "--window", "1m"],
    );
    assert_eq!(
        allowed(&draft),
        ["a", "b", "c", "d"].map(str::to_owned).into(),
        "{draft}"
    );
    for part in [
        "# Carried: 4 identities of 1 namespace, to 1 destination.\n",
        "# Coverage: 100 % of ",
        "# - That is an upper bound, dependents × served = 4 × 1 = 4 pairs",
        "# - shop/catalog: ",
        "\nkind: AuthorizationPolicy\n",
    ] {
        assert!(draft.contains(part), "{part}\n{draft}");
    }
    // All four call the instance on its node.
    let one = format!("http://{}", agent.address());
    let draft = run("policy", &["--point", "shop/waypoint", "--agent", &one]);
    assert_eq!(
        allowed(&draft),
        ["a", "b", "c", "d"].map(str::to_owned).into(),
        "{draft}"
    );
}

#[track_caller]
fn run(name: &str, arguments: &[&str]) -> String {
    let output = command::output(Command::new(binary()).arg(name).args(arguments)).expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
