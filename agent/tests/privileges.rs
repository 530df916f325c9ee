//! The agent with exactly the capabilities and mounts of its DaemonSet, in a container's own namespaces, and with one of them
//! less: what it can do, and what it says that it cannot.

mod common;

use common::{
    daemon_set::{ADDRESS, DaemonSet, Node},
    everybody::{FAILED, OPENED, QUIET, Shop},
    expect,
};
use narrows::{
    failures::{End, List},
    signals::{self, paths},
};
use narrows_testbed::{agent::Agent, cgroup, command, confine, kubernetes::manifests::Pod, load::Plan, wait};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Output},
    time::Duration,
};

/// The test that shows what each capability is for.
const NEEDED: [(&str, fn()); 3] = [
    ("BPF", without_bpf_it_ends_and_says_so),
    ("PERFMON", without_perfmon_it_ends_and_says_so),
    ("SYS_PTRACE", without_sys_ptrace_only_what_processes_show_is_lost),
];

#[test]
fn each_capability_of_the_manifest_is_shown_to_be_needed() {
    let shown: Vec<_> = NEEDED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(DaemonSet::read().capabilities(), shown);
}

#[test]
fn the_agent_has_what_the_manifest_gives_it_and_no_more() {
    let node = Node::new();
    let set = DaemonSet::read();
    let agent = node.start(&set, &[]);
    let process = |file: &str| format!("/proc/{}/{file}", agent.pid());
    let status = fs::read_to_string(process("status")).expect("it runs");
    let line = |name: &str| {
        let lines = status.lines().map(|line| line.split_once(":\t").unwrap_or_default());
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .collect::<String>()
    };
    let mask = confine::mask(&set.capabilities()).expect("capabilities of Linux");
    for name in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(line(name), format!("{mask:016x}"), "{name}");
    }
    for name in ["CapInh", "CapAmb"] {
        assert_eq!(line(name), format!("{:016x}", 0), "{name}");
    }
    assert_eq!((&*line("NoNewPrivs"), &*line("Uid")), ("1", "0\t0\t0\t0"));
    for (namespace, own) in [
        ("net", true),
        ("mnt", true),
        ("cgroup", true),
        ("uts", true),
        ("ipc", true),
        ("pid", false),
    ] {
        let of = |file: &str| fs::read_link(file).expect("a namespace");
        let ours = of(&format!("/proc/self/ns/{namespace}"));
        assert_eq!(of(&process(&format!("ns/{namespace}"))) != ours, own, "{namespace}");
    }
    let mounts = fs::read_to_string(process("mounts")).expect("it has mounts");
    let writable: Vec<_> = mounts
        .lines()
        .filter(|line| line.split(' ').nth(3).is_some_and(|flags| flags.starts_with("rw")))
        .filter_map(|line| line.split(' ').nth(1))
        // What a runtime gives to every container. And below the node's cgroups there may be further mounts, which Kubernetes
        // leaves as they are.
        .filter(|path| *path != "/proc" && !path.starts_with("/dev") && !path.starts_with("/sys/fs/cgroup/"))
        .collect();
    assert_eq!(writable, ["/sys/fs/bpf"]);
}

#[test]
fn check_finds_everything_in_order() {
    let node = Node::new();
    let unified = DaemonSet::read().with_source("/sys/fs/cgroup", &cgroup::root());
    for (set, expected) in [(DaemonSet::read(), vec![]), (unified, off_without_cgroup_v1())] {
        let output = node.run(&set, "check");
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{table}{}", text(&output.stderr));
        assert_eq!(off(&output), expected, "{table}");
        for what in ["cgroup2", "capabilities", "Kubernetes node_pods", "Kubernetes nodes"] {
            assert!(rows(&output).iter().any(|row| row.what == what), "{what}\n{table}");
        }
    }
}

#[test]
fn the_agent_misses_nothing() {
    let node = Node::new();
    let shop = Shop::new(&node.cluster);
    let address = an_address_of_the_node(&node);
    let agent = node.start(&DaemonSet::read(), &[]);
    every_program_is_active(&agent);
    shop.trade(&agent);
    for proxy in &shop.proxies {
        let point = [
            ("point", &*proxy.point),
            ("kind", "sidecar"),
            ("mesh", "linkerd"),
            ("side", "downstream"),
        ];
        agent.wait_for(&proxy.point, |m| m.sum(OPENED, &point) == 5.0);
    }
    agent.wait_for("the failures of a workload that has no socket", |m| {
        m.sum(FAILED, QUIET) == 3.0
    });
    the_node_is_told_from_the_agents_pod(&node, &agent, address);
}

#[test]
fn with_its_own_seccomp_profile_it_misses_nothing_and_goes_on_after_a_restart() {
    let node = Node::new();
    let shop = Shop::new(&node.cluster);
    let set = DaemonSet::read().with_seccomp_profile(&[]);
    node.start(&set, &[]).stop().expect("it ends");
    let agent = node.start(&set, &[]);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it runs");
    assert!(status.contains("\nSeccomp:\t2\n"), "a filter is in place: {status}");
    assert!(agent.stderr().contains("nothing is missing"), "{}", agent.stderr());
    every_program_is_active(&agent);
    shop.trade(&agent);
    for proxy in &shop.proxies {
        let point = [("point", &*proxy.point), ("side", "downstream")];
        agent.wait_for(&proxy.point, |m| m.sum(OPENED, &point) == 5.0);
    }
    agent.stop().expect("it ends");
    // What `kubectl exec` starts has the filter, too.
    let output = node.run(&set, "check");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(off(&output), [""; 0], "{}", text(&output.stdout));
}

#[test]
fn under_a_profile_that_forbids_bpf_it_names_the_profile() {
    let node = Node::new();
    let set = DaemonSet::read().with_seccomp_profile(&["bpf"]);
    for subcommand in ["check", "agent"] {
        let output = node.run(&set, subcommand);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        // A table breaks its lines.
        let words: Vec<_> = said.split_whitespace().collect();
        assert!(words.join(" ").contains("use the component seccomp-profile"), "{said}");
    }
}

#[test]
fn without_bpf_it_ends_and_says_so() {
    nothing_works_without("BPF", "CAP_BPF (load eBPF programs and maps)");
}

#[test]
fn without_perfmon_it_ends_and_says_so() {
    nothing_works_without("PERFMON", "CAP_PERFMON (attach them to kernel tracepoints)");
}

#[test]
fn without_sys_ptrace_only_what_processes_show_is_lost() {
    let node = Node::new();
    let set = DaemonSet::read().without_capability("SYS_PTRACE");
    let output = node.run(&set, "check");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let off: Vec<_> = rows(&output)
        .into_iter()
        .filter(|row| row.state != "ok" && !is_optional(row))
        .collect();
    assert!(
        matches!(&off[..], [row] if row.what == "CAP_SYS_PTRACE" && row.state == "off" && row.detail.contains("processes")),
        "{table}"
    );

    let shop = Shop::new(&node.cluster);
    let agent = node.start(&set, &[]);
    assert!(
        agent.stderr().contains("CAP_SYS_PTRACE is missing"),
        "{}",
        agent.stderr()
    );
    every_program_is_active(&agent);
    shop.trade(&agent);
    let metrics = agent.settle();
    for proxy in &shop.proxies {
        let opened = if proxy.hidden { 0.0 } else { 5.0 };
        let point = [("point", &*proxy.point), ("side", "downstream")];
        expect(&metrics, &[(OPENED, &point, opened)]);
    }
    expect(&metrics, &[(FAILED, QUIET, 0.0)]);
}

#[test]
fn with_net_admin_accepts_are_seen_too() {
    let node = Node::new();
    let set = DaemonSet::read().with_capability("NET_ADMIN");
    let output = node.run(&set, "check");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(rows(&output).iter().all(|row| row.state == "ok"), "{table}");
    let shop = Shop::new(&node.cluster);
    let agent = node.start(&set, &[]);
    // The programs are attached while there are points: a failure would show then.
    shop.trade(&agent);
    let status = agent.get_json("/api/v1/status");
    for program in status["programs"].as_array().expect("a list") {
        assert_eq!(program["active"], true, "{program}");
    }
}

#[test]
fn without_the_nodes_cgroups_check_says_what_to_mount() {
    let node = Node::new();
    let set = DaemonSet::read().without_mount("/sys/fs/cgroup");
    let output = node.run(&set, "check");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    // And what only the node's cgroups tell.
    let off = off(&output);
    assert_eq!(off.first().map(String::as_str), Some("cgroup2"), "{table}");
    assert!(
        off[1..]
            .iter()
            .all(|what| matches!(&**what, "cpu_throttling" | "memory_limit")),
        "{table}"
    );
    assert!(table.contains("Mount the node's /sys/fs/cgroup"), "{table}");
}

#[test]
fn the_next_pod_goes_on_where_the_last_one_stopped() {
    let node = Node::new();
    let set = DaemonSet::read();
    node.start(&set, &[]).stop().expect("it ends");
    let second = node.start(&set, &[]);
    assert!(second.stderr().contains("nothing is missing"), "{}", second.stderr());
    second.stop().expect("it ends");
    // Without the place to leave something in, it works, and says so.
    let alone = node.start(&set.without_mount("/sys/fs/bpf"), &[]);
    assert!(
        alone.stderr().contains("the kernel counts only while this agent runs"),
        "{}",
        alone.stderr()
    );
    let metrics = alone.settle();
    assert_eq!(metrics.sum("narrows_signal_active", &[("signal", "takeover")]), 0.0);
    assert_eq!(metrics.sum("narrows_program_active", &[("program", "set_state")]), 1.0);
}

/// A line of the table that `narrows check` prints.
#[derive(Debug)]
struct Row {
    what: String,
    state: String,
    detail: String,
}

fn rows(output: &Output) -> Vec<Row> {
    let table = text(&output.stdout);
    // Lines that go on with the detail of the one before begin with a space.
    let lines = table.lines().filter(|line| !line.starts_with(' '));
    lines
        .map(|line| {
            let mut columns = line.splitn(2, "  ").map(str::trim);
            let what = columns.next().unwrap_or_default().to_owned();
            let (state, detail) = columns.next().and_then(|rest| rest.split_once(' ')).unwrap_or_default();
            Row {
                what,
                state: state.to_owned(),
                detail: detail.trim().to_owned(),
            }
        })
        .collect()
}

/// Programs that need a privilege that the manifests do not ask for, as they say.
fn is_optional(row: &Row) -> bool {
    let mut optional = paths::PROGRAMS.iter();
    optional.any(|program| row.what.starts_with(program.name)) && row.detail.contains("CAP_NET_ADMIN")
}

/// What is not as it should be.
fn off(output: &Output) -> Vec<String> {
    let off = rows(output)
        .into_iter()
        .filter(|row| row.state != "ok" && !is_optional(row));
    off.map(|row| row.what).collect()
}

/// What cgroup2 alone does not tell on this machine.
fn off_without_cgroup_v1() -> Vec<&'static str> {
    let controllers = fs::read_to_string(cgroup::root().join("cgroup.controllers")).expect("cgroup2");
    let there = |name: &str| controllers.split_whitespace().any(|there| there == name);
    let signals = [("cpu", "cpu_throttling"), ("memory", "memory_limit")];
    let off = signals.into_iter().filter(|(controller, _)| !there(controller));
    off.map(|(_, signal)| signal).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without this capability `check` names it, and the agent ends with one sentence that does.
fn nothing_works_without(capability: &str, named: &str) {
    let node = Node::new();
    let set = DaemonSet::read().without_capability(capability);
    let output = node.run(&set, "check");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let rows = rows(&output);
    let row = rows.iter().find(|row| row.what == "capabilities").expect("a row");
    assert_eq!((&*row.state, &*row.detail), ("MISSING", named), "{table}");

    let output = node.run(&set, "agent");
    let log = text(&output.stderr);
    let said: Vec<_> = log.lines().filter(|line| line.starts_with("narrows: ")).collect();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        matches!(&said[..], [sentence] if sentence.contains(&format!("missing {named}"))),
        "{log}"
    );
}

#[track_caller]
fn every_program_is_active(agent: &Agent) {
    let status = agent.get_json("/api/v1/status");
    let programs = status["programs"].as_array().expect("a list");
    assert_eq!(programs.len(), signals::programs().count());
    for program in programs {
        let is_optional = paths::PROGRAMS
            .iter()
            .any(|optional| program["program"] == optional.name);
        assert_eq!(program["active"], !is_optional, "{program}");
        let reason = program["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.contains("CAP_NET_ADMIN"), is_optional, "{program}");
    }
}

/// One that nobody else has; it goes with the other end of the cable.
fn an_address_of_the_node(node: &Node) -> Ipv4Addr {
    let (name, address) = (format!("nrw{}", std::process::id()), Ipv4Addr::new(198, 51, 100, 77));
    let cable = format!("ip link add node0 type veth peer name {name} netns 1");
    node.cluster.world.fabric.netns().exec(&cable).expect("a cable");
    let mut ip = Command::new("ip");
    let ip = command::output(ip.args(["address", "add", &address.to_string(), "dev", &name]));
    assert!(ip.expect("iproute2").status.success());
    address
}

/// The agent's pod has a network of its own. That of the node is read through the node's first process.
fn the_node_is_told_from_the_agents_pod(node: &Node, agent: &Agent, address: Ipv4Addr) {
    let mut manifest = Pod::of("deployment");
    manifest.0["spec"]["hostNetwork"] = true.into();
    let host = node.cluster.prepare(manifest, "inventory-6d7f8b9c5-eeeee", 31);
    node.cluster.announce(&host);
    let client = node.cluster.pod("deployment", "inventory-6d7f8b9c5-fffff", 32);

    // On the node's network, loopback is everybody's.
    for (pod, peer, party) in [
        (&host, address, End::Node),
        (&host, Ipv4Addr::LOCALHOST, End::Node),
        (&client, ADDRESS, End::Unknown),
    ] {
        // A port that was free a moment ago, and that no other failure is about.
        let target = pod.run(&pod.first(), || {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
        });
        let port = target.local_addr().expect("bound").port();
        drop(target);
        let to = SocketAddr::new(IpAddr::V4(peer), port);
        assert_eq!(pod.run(&pod.first(), || Plan::burst(to, 1).run()).refused, 1, "{to}");
        let told = || {
            let list: List = serde_json::from_value(agent.get_json("/api/v1/failures")).expect("a list");
            let mut failures = list.failures.into_iter();
            failures.find(|failure| failure.service_port == port)
        };
        let failure = wait::until(&format!("the failure to reach {to}"), Duration::from_secs(20), told);
        let failure = failure.unwrap_or_else(|error| panic!("{error}\n{}", agent.stderr()));
        assert_eq!(failure.peer, party, "{to}: {failure:?}");
    }
}
