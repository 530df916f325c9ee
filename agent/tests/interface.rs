//! What a user meets: the command line, the HTTP interface, and the sentences when something is wrong.

mod common;

use common::{World, binary, promtool, start, start_with, turn, v4, v6};
use narrows::signals;
use narrows_testbed::{agent::Agent, command, http};
use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str]) -> Output {
    command::output(Command::new(binary()).args(arguments)).expect("it runs")
}

#[track_caller]
fn fails_with(output: &Output, sentence: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = text.lines().filter(|line| line.starts_with("narrows: ")).collect();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(said.len(), 1, "one sentence: {text}");
    assert!(said[0].contains(sentence), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn metrics_come_in_both_formats_and_promtool_accepts_them() {
    let _turn = turn();
    let agent = start("workloads: []\n");
    let prometheus = http::get(agent.address(), "/metrics", "*/*").expect("an answer");
    assert_eq!(
        prometheus.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let openmetrics = http::get(agent.address(), "/metrics", "application/openmetrics-text").expect("an answer");
    assert!(
        openmetrics
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    assert!(openmetrics.body.ends_with("# EOF\n"));
    assert!(openmetrics.body.contains("# TYPE narrows_lost counter\n"));
    assert!(prometheus.body.contains("# TYPE narrows_lost_total counter\n"));
    assert!(!prometheus.body.contains("# EOF"));
    // Without this bucket, Prometheus computes no quantile.
    assert!(prometheus.body.contains("narrows_tick_seconds_bucket{le=\"+Inf\"}"));

    assert_eq!(promtool(&prometheus.body), None);
}

#[test]
fn metrics_are_compressed_for_those_who_take_gzip() {
    let _turn = turn();
    // One tick an hour, so that all requests are for the same one.
    let agent = start_with("workloads: []\n", &["--interval", "1h"]);
    for accept in ["*/*", "application/openmetrics-text"] {
        let plain = http::get(agent.address(), "/metrics", accept).expect("an answer");
        let gzip = || http::get_gzip(agent.address(), "/metrics", accept).expect("an answer");
        let (first, second) = (gzip(), gzip());
        assert_eq!(first.body, second.body, "encoded once");
        assert_eq!(&first.body[..2], [0x1f, 0x8b], "the mark of gzip");
        assert!(first.body.len() * 3 < plain.body.len(), "{} bytes", first.body.len());
        assert_eq!(plain.header("content-encoding"), None);
        let unpacked = first.text().expect("gzip");
        assert_eq!(unpacked.header("content-encoding"), Some("gzip"));
        for answer in [&plain, &unpacked] {
            assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
        }
        assert_eq!(unpacked.header("content-type"), plain.header("content-type"));
        assert_eq!(unpacked.body, plain.body, "one encoding serves both");
    }
}

#[test]
fn the_api_is_served_over_loopback_unless_it_has_an_address_of_its_own() {
    const STATUS: &str = "/api/v1/status";
    let world = World::new();
    let node = world.workload("node", 5);
    let ask = |address: SocketAddr, path: &str| {
        let answer = node.netns.run(|| http::get(address, path, "*/*")).expect("an answer");
        (answer.status, answer.body)
    };
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let local6 = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let begin = |arguments: &[&str]| {
        Agent::start_in_network(binary(), "workloads: []\n", local(9797), &node.netns, arguments).expect("it starts")
    };
    let open = tempfile::NamedTempFile::new().expect("a file");
    fs::write(open.path(), "api: { anonymous: true }\n").expect("written");
    let open = open.path().to_str().expect("UTF-8");
    let begin_open = |api: &str| begin(&["--config", open, "--listen", "0.0.0.0:9797", "--api-listen", api]);
    // All addresses, as in a pod that has both families, or only IPv6.
    for (listen, addresses) in [
        ("0.0.0.0:9797", vec![v4(5, 9797), local(9797)]),
        ("[::]:9797", vec![v4(5, 9797), v6(5, 9797), local(9797), local6(9797)]),
    ] {
        let agent = begin(&["--listen", listen]);
        for address in addresses {
            for path in ["/metrics", "/healthz", "/readyz", "/"] {
                assert_eq!(ask(address, path).0, 200, "{address}{path}");
            }
            let (status, body) = ask(address, STATUS);
            match address.ip().is_loopback() {
                true => assert_eq!(status, 200, "{address}: {body}"),
                false => {
                    assert_eq!(status, 421, "{address}: {body}");
                    assert!(
                        body.contains("over loopback only") && body.contains("api_listen"),
                        "{body}"
                    );
                    assert_eq!(ask(address, "/api/v1/failures").0, 421, "{address}");
                }
            }
        }
        assert_eq!(agent.stop().expect("it ends").code(), Some(0));
    }
    // One address that is not loopback: what clients ask by default is served there, too.
    let agent = begin(&["--listen", &v4(5, 9797).to_string()]);
    assert_eq!(ask(v4(5, 9797), "/metrics").0, 200);
    let (status, body) = ask(v4(5, 9797), STATUS);
    assert!(status == 421 && body.contains("at 127.0.0.1:9797"), "{body}");
    for path in [STATUS, "/metrics", "/healthz"] {
        assert_eq!(ask(local(9797), path).0, 200, "{path}");
    }
    drop(agent);
    // An address of its own, and the same for everything.
    let agent = begin_open("10.90.0.5:9798");
    assert_eq!(ask(v4(5, 9798), STATUS).0, 200);
    for address in [v4(5, 9797), local(9797)] {
        let (status, body) = ask(address, STATUS);
        assert!(status == 421 && body.contains("at 10.90.0.5:9798"), "{body}");
    }
    drop(agent);
    let agent = begin_open("0.0.0.0:9797");
    assert_eq!(ask(v4(5, 9797), STATUS).0, 200);
    // A client is told, too.
    drop(agent);
    let agent = begin(&["--listen", "0.0.0.0:9797"]);
    let client = |url: &str| {
        let mut narrows = Command::new(binary());
        narrows.args(["failures", "--agent", url]);
        node.netns.run(|| command::output(&mut narrows)).expect("it runs")
    };
    assert_eq!(client("http://127.0.0.1:9797").status.code(), Some(0));
    fails_with(
        &client("http://10.90.0.5:9797"),
        "the agent at http://10.90.0.5:9797 rejected the request: the API is served over loopback only",
    );
    drop(agent);
    let mut narrows = Command::new(binary());
    narrows.args(["agent", "--listen", "127.0.0.1:0", "--api-listen", "10.90.0.99:9798"]);
    let output = node.netns.run(|| command::output(&mut narrows)).expect("it runs");
    fails_with(
        &output,
        "api_listen is 10.90.0.99:9798, where others may reach it: set api.certificate",
    );
    narrows.args(["--config", open]);
    let output = node.netns.run(|| command::output(&mut narrows)).expect("it runs");
    fails_with(
        &output,
        "cannot listen on 10.90.0.99:9798: this machine has no such address (--api-listen",
    );
}

#[test]
fn health_readiness_and_status() {
    let _turn = turn();
    let agent = start("workloads: []\n");
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(
            http::get(agent.address(), path, "*/*").expect("an answer").status,
            200,
            "{path}"
        );
    }
    let status = agent.get_json("/api/v1/status");
    let programs = status["programs"].as_array().expect("a list");
    assert_eq!(programs.len(), signals::programs().count());
    // Before Linux 6.3 there are no hooks for what is read and written, before 6.11 a dropped packet does not name its receiver; a
    // locked kernel shows no paths of cgroups.
    let older = |program: &serde_json::Value| {
        let reason = program["reason"].as_str().unwrap_or_default();
        let name = program["program"].as_str().unwrap_or_default();
        match name {
            "cgroup_mkdir" => reason.contains("lockdown=confidentiality"),
            "packet_rejected" => reason.contains("does not have its argument 4"),
            name => name.starts_with("data_") && reason.contains("this kernel does not have its hook"),
        }
    };
    let off = programs.iter().filter(|program| program["active"] != true).count();
    assert_eq!(
        programs.iter().filter(|program| older(program)).count(),
        off,
        "{programs:?}"
    );
    let fields = status["kernel_fields"].as_array().expect("a list");
    assert!(
        fields
            .iter()
            .any(|field| field["field"] == "tcp_sock.bytes_received" && field["offset"].is_u64())
    );
    assert_eq!(status["bounds"]["flows"]["limit"], 65_536);
    assert!(status["lost"].as_array().is_some_and(|lost| !lost.is_empty()));
    let metrics = agent.settle();
    assert_eq!(
        metrics.sum("narrows_program_active", &[]),
        (signals::programs().count() - off) as f64
    );
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn sigterm_ends_it_and_detaches_everything() {
    let _turn = turn();
    let agent = start("workloads: []\n");
    let held = || {
        fs::read_dir(format!("/proc/{}/fd", agent.pid()))
            .map(Iterator::count)
            .unwrap_or(0)
    };
    assert!(held() > 8, "it holds its programs");
    let address = agent.address();
    let ended = agent.stop().expect("it ends by itself");
    assert_eq!(ended.code(), Some(0));
    // Nothing is pinned, so the programs went with the process; and the port is free.
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[test]
fn a_second_instance_says_so() {
    let _turn = turn();
    let first = start("workloads: []\n");
    let output = run(&["agent", "--listen", &first.address().to_string()]);
    fails_with(
        &output,
        &format!("cannot listen on {}: is another agent running?", first.address()),
    );
}

#[test]
fn without_privileges_it_names_what_is_missing() {
    let _turn = turn();
    let directory = tempfile::Builder::new()
        .permissions(mode(0o755))
        .tempdir()
        .expect("a directory");
    // Nobody may read the target directory of a root-owned checkout.
    let copy = directory.path().join("narrows");
    fs::copy(binary(), &copy).expect("copied");
    let as_nobody = |arguments: &[&str]| {
        let mut narrows = Command::new(&copy);
        command::output(narrows.args(arguments).uid(65_534).gid(65_534)).expect("it runs")
    };
    let output = as_nobody(&["agent", "--listen", "127.0.0.1:0"]);
    fails_with(&output, "missing CAP_BPF (load eBPF programs and maps) and CAP_PERFMON");
    // What may not be looked at is not taken for gone.
    let hidden = tempfile::Builder::new().permissions(mode(0o700)).tempdir();
    let hidden = hidden.expect("a directory of root's");
    let pins = hidden.path().join("narrows");
    let output = as_nobody(&["uninstall", "--pins", pins.to_str().expect("UTF-8")]);
    fails_with(&output, "cannot look for");
    let output = as_nobody(&["check"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("capabilities") && line.contains("MISSING")),
        "{table}"
    );
    assert!(
        table.lines().any(|line| line.starts_with("BTF") && line.contains("ok")),
        "{table}"
    );
}

fn mode(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

#[test]
fn check_shows_every_program_and_what_the_inventory_lacks() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a directory");
    let inventory = directory.path().join("inventory.yaml");
    fs::write(&inventory, "workloads:\n  - { name: a, cgroup: /no/such/cgroup }\n").expect("written");
    let output = run(&["check", "--inventory", inventory.to_str().expect("UTF-8")]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    for row in [
        "kernel",
        "BTF",
        "cgroup2",
        "set_state tp_btf/inet_sock_set_state",
        "walk iter/task_file",
        "amend raw_tp",
    ] {
        assert!(
            table
                .lines()
                .any(|line| line.starts_with(row) && line.contains("  ok ")),
            "{row}:\n{table}"
        );
    }
    assert!(
        table.contains("line 2: cgroup /no/such/cgroup of workload default/a does not exist"),
        "{table}"
    );
}

#[test]
fn bad_files_and_flags_are_refused_with_their_place() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file.yaml");
    let path = file.to_str().expect("UTF-8");
    for (contents, flag, sentence) in [
        (
            "workloads:\n  - { name: a, addresses: [1.2.3] }\n",
            "--inventory",
            "file.yaml:2: addresses: \"1.2.3\"",
        ),
        (
            "workloads:\n  - { name: a, port: 1 }\n",
            "--inventory",
            "file.yaml:2: unknown field `port`",
        ),
        (
            "interval: soon\n",
            "--config",
            "file.yaml:1: \"soon\" is not a valid duration, e.g. 90s, 1h30m or 7d",
        ),
        (
            "\nflow_idle: -1\n",
            "--config",
            "file.yaml:2: -1 is not a valid duration, e.g. 90s, 1h30m or 7d",
        ),
        (
            "flow_idle: 2d\n",
            "--config",
            "file.yaml: flow_idle is 2d, but must be between 100ms and 1d",
        ),
        (
            "points:\n  rules:\n    - { process: x }\n",
            "--config",
            "file.yaml:3: missing field `kind`",
        ),
    ] {
        fs::write(&file, contents).expect("written");
        fails_with(&run(&["agent", "--listen", "127.0.0.1:0", flag, path]), sentence);
    }
    fails_with(
        &run(&["agent", "--listen", "127.0.0.1:0", "--inventory", "/no/such/file"]),
        "/no/such/file: cannot be read",
    );
    fails_with(
        &run(&["agent", "--listen", "127.0.0.1:0", "--interval", "0"]),
        "interval is 0",
    );
    let mut narrows = Command::new(binary());
    narrows.arg("agent").env("NARROWS_LISTEN", "nowhere");
    let output = command::output(&mut narrows).expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && text.contains("'nowhere' for '--listen"),
        "{text}"
    );
}

#[test]
fn who_has_read_enough_is_no_error() {
    for arguments in [
        &["completions", "bash"][..],
        &["uninstall", "--pins", "/no/such/directory"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut narrows = Command::new(binary());
        narrows.args(arguments).stdout(writer).stderr(Stdio::piped());
        let child = command::spawn(&mut narrows).expect("it starts");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

/// Runs the agent where a part of the system is not to be seen.
fn without(mount: &str) -> Output {
    let script = format!("{mount} && exec \"$0\" agent --listen 127.0.0.1:0");
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", &script]).arg(binary());
    command::output(&mut unshare).expect("it runs")
}

#[test]
fn a_kernel_without_btf_or_a_node_without_cgroup2_is_named() {
    let _turn = turn();
    let output = without("mount -t tmpfs none /sys/kernel/btf");
    fails_with(&output, "cannot read /sys/kernel/btf/vmlinux");
    let cgroup2 = narrows_testbed::cgroup::root();
    let output = without(&format!("umount {}", cgroup2.display()));
    fails_with(&output, "cgroup2 is not mounted");
}
