//! What happens inside a point: delays, threads, processes; and that each signal goes off visibly and alone.

mod common;

use common::{World, expect, inventory, start, start_server, start_with, v4};
use narrows_testbed::{
    haproxy::{Frontend, Haproxy, Options},
    load::Plan,
    process::Placement,
    workload::Workload,
};
use std::process::{Command, Stdio};

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const UP: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "upstream")];

fn haproxy(waypoint: &Workload) -> Haproxy {
    let frontend = Frontend {
        address: v4(2, 15008),
        upstreams: vec![v4(21, 8080)],
        by_path: false,
    };
    Haproxy::start(&Placement::from(waypoint), &[frontend], &Options::default()).expect("a real HAProxy")
}

#[test]
fn every_request_and_every_reply_is_seen_to_be_read() {
    let world = World::new();
    let (checkout, catalog) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
    let _server = start_server(&catalog);
    let _haproxy = haproxy(&waypoint);
    // Its threads are known from the next tick on.
    agent.settle();
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 500).run()).ok, 500);
    agent.wait_for("1,000 closed", |m| {
        m.sum("narrows_connections_closed_total", POINT) == 1000.0
    });
    let metrics = agent.settle();
    // Before Linux 6.3 the kernel does not show it: then there is no series, and a reason.
    let shown = ["data_arrived", "data_read", "data_sent"]
        .map(|program| metrics.get("narrows_program_active", &[("program", program)]) == Some(1.0));
    let delays = metrics.series("narrows_read_delay_seconds_count").count();
    assert_eq!((shown, delays), if shown[0] { ([true; 3], 2) } else { ([false; 3], 0) });
    if !shown[0] {
        let status = agent.get_json("/api/v1/status").to_string();
        assert!(status.contains("this kernel does not have its hook"), "{status}");
    }
    for side in [DOWN, UP].into_iter().filter(|_| shown[0]) {
        // A request or a reply may come in pieces, but none comes without being read.
        let read = metrics.sum("narrows_read_delay_seconds_count", side);
        assert!((500.0..1500.0).contains(&read), "{side:?}: {read} reads");
        // While Envoy still connects to the server it reads from others, and only the last read before a write is measured.
        let forwarded = metrics.sum("narrows_forward_delay_seconds_count", side);
        assert!((1.0..=1500.0).contains(&forwarded), "{side:?}: {forwarded} forwarded");
    }
    assert!(metrics.sum("narrows_run_queue_seconds_count", POINT) > 0.0);
    expect(
        &metrics,
        &[
            ("narrows_connection_failures_total", &[], 0.0),
            ("narrows_unread_bytes", POINT, 0.0),
            ("narrows_connections_stalled", POINT, 0.0),
            ("narrows_accept_queue_oldest_seconds", POINT, 0.0),
            ("narrows_point_exits_total", POINT, 0.0),
            ("narrows_point_starts_total", POINT, 1.0),
            ("narrows_lost_total", &[("what", "point_thread")], 0.0),
            ("narrows_lost_total", &[("what", "delay_record")], 0.0),
            ("narrows_lost_total", &[("what", "preemption")], 0.0),
        ],
    );
}

#[test]
fn processes_begin_and_end_also_between_two_ticks() {
    let world = World::new();
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[], &[&waypoint]));
    let run = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        waypoint.spawn(&mut command).expect("it starts")
    };
    // Each begins and ends faster than a tick, but the first.
    for code in [0, 3] {
        let status = run(&format!("exit {code}")).ended(std::time::Duration::from_secs(10));
        assert_eq!(status.expect("it ends").code(), Some(code));
    }
    let mut killed = run("read forever");
    killed.kill_now().expect("it dies");
    // What the point starts itself counts when it is killed, and only then.
    let mut parent = run("true; sh -c 'kill -9 $$'; read forever");
    agent.wait_for("the child's end", |m| {
        m.sum("narrows_point_exits_total", &[("reason", "killed")]) == 2.0
    });
    expect(
        &agent.settle(),
        &[
            ("narrows_point_starts_total", POINT, 4.0),
            ("narrows_point_exits_total", &[("reason", "exited")], 2.0),
            ("narrows_point_exits_total", &[("reason", "killed")], 2.0),
            ("narrows_point_exits_total", &[("reason", "oom_killed")], 0.0),
        ],
    );
    parent.kill_now().expect("it dies");
}

#[test]
fn a_hidden_field_and_a_hidden_tracepoint_switch_off_their_signals_alone() {
    let world = World::new();
    let (checkout, catalog) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let waypoint = world.workload("waypoint", 2);
    let agent = start_with(
        &inventory(&[&checkout, &catalog], &[&waypoint]),
        &[
            "--off",
            "tcp_sock.snd_wnd",
            "--off",
            "data_arrived",
            "--off",
            "process_fork",
        ],
    );
    let _server = start_server(&catalog);
    let _haproxy = haproxy(&waypoint);
    agent.settle();
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 50).run()).ok, 50);
    agent.wait_for("100 closed", |m| {
        m.sum("narrows_connections_closed_total", POINT) == 100.0
    });
    let metrics = agent.settle();
    let status = agent.get_json("/api/v1/status");
    // What needs one that is off is off, too; and so is what this kernel never had.
    let without = ["data_arrived", "process_fork"];
    let with_them = [
        "process_exit",
        "process_exec",
        "sched_switch",
        "sched_wakeup",
        "sched_wakeup_new",
        "data_sent",
        "accept_error",
    ];
    for program in status["programs"].as_array().expect("a list") {
        let name = program["program"].as_str().expect("its name");
        let reason = program["reason"].as_str().unwrap_or_default();
        let expected = if without.contains(&name) {
            "switched off in the configuration (kernel.off)"
        } else if with_them.contains(&name) {
            "which is not active"
        } else if name == "data_read" && !reason.is_empty() {
            "this kernel does not have its hook"
        } else if name == "packet_rejected" && !reason.is_empty() {
            "does not have its argument 4"
        } else {
            assert_eq!(reason, "", "{name}");
            ""
        };
        assert!(reason.contains(expected), "{name}: {reason}");
        let active = metrics.get("narrows_program_active", &[("program", name)]);
        assert_eq!(active, Some(f64::from(u8::from(expected.is_empty()))), "{name}");
    }
    // Not there, rather than 0.
    for name in [
        "narrows_read_delay_seconds_count",
        "narrows_forward_delay_seconds_count",
        "narrows_run_queue_seconds_count",
        "narrows_point_exits_total",
    ] {
        assert_eq!(metrics.series(name).count(), 0, "{name}");
    }
    let stalled = |cause| {
        metrics
            .matching("narrows_connections_stalled", &[("cause", cause)])
            .count()
    };
    let (window, unread, unacknowledged) = (stalled("zero_window"), stalled("unread"), stalled("unacknowledged"));
    assert_eq!((window, unread, unacknowledged), (0, 2, 2));
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, 50.0),
            ("narrows_connections_opened_total", UP, 50.0),
            ("narrows_connection_failures_total", &[], 0.0),
        ],
    );
    let fields = status["kernel_fields"].to_string();
    assert!(fields.contains("connections stalled by a closed window"), "{fields}");
}
