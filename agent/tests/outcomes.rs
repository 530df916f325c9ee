//! How connections end: each kind provoked for real, and counted exactly at both ends.

mod common;

use common::{World, begin_to_connect, expect, inventory, listen, start, v4, v6};
use narrows_testbed::{
    agent::Agent,
    load::{Behaviour, Plan, Server},
    workload::Workload,
};
use nix::sys::socket::{self, sockopt};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

/// What every series of the test's one waypoint carries, and a side.
const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const UP: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "upstream")];
const CALLED: &[(&str, &str)] = &[("point", "shop/waypoint"), ("kind", "waypoint"), ("mesh", "istio")];

fn failed<'a>(at: &'a [(&'a str, &'a str)], reason: &'a str) -> Vec<(&'a str, &'a str)> {
    at.iter().copied().chain([("reason", reason)]).collect()
}

/// A caller, the waypoint it calls, and what the waypoint calls; watched by an agent.
struct Mesh {
    agent: Agent,
    checkout: Workload,
    waypoint: Workload,
    catalog: Workload,
    // Goes last: it holds the network, and the turn.
    _world: World,
}

fn mesh() -> Mesh {
    let world = World::new();
    let (checkout, waypoint, catalog) = (
        world.workload("checkout", 11),
        world.workload("waypoint", 2),
        world.workload("catalog", 21),
    );
    let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
    Mesh {
        agent,
        checkout,
        waypoint,
        catalog,
        _world: world,
    }
}

fn abort(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    socket::setsockopt(&stream, sockopt::Linger, &linger).expect("set");
    drop(stream);
}

/// Reads until the end, whichever kind it is.
fn to_the_end(mut stream: TcpStream) {
    let _reset_or_closed = stream.read_to_end(&mut Vec::new());
}

#[test]
fn clean_connections_are_counted_at_both_ends_and_none_as_failed() {
    for to in [v4(2, 15008), v6(2, 15008)] {
        let mesh = mesh();
        let server = mesh
            .waypoint
            .run(|| Server::start(to, Behaviour::default()))
            .expect("it listens");
        let tally = mesh.checkout.run(|| Plan::burst(to, 250).run());
        assert_eq!((tally.ok, server.stop().answered), (250, 250));

        mesh.agent.wait_for("250 closed", |m| {
            m.sum("narrows_connections_closed_total", DOWN) == 250.0
        });
        expect(
            &mesh.agent.settle(),
            &[
                ("narrows_connections_opened_total", DOWN, 250.0),
                ("narrows_connections_closed_total", DOWN, 250.0),
                ("narrows_connections_active", DOWN, 0.0),
                ("narrows_received_bytes_total", DOWN, 250.0 * 512.0),
                ("narrows_sent_bytes_total", DOWN, 250.0 * 2048.0),
                ("narrows_connections_opened_total", UP, 0.0),
                ("narrows_connection_failures_total", &[], 0.0),
                ("narrows_client_connections_opened_total", CALLED, 250.0),
                ("narrows_client_connect_duration_seconds_count", CALLED, 250.0),
                ("narrows_client_connection_failures_total", &[], 0.0),
                (
                    "narrows_dependent_connections_total",
                    &[("source_workload", "checkout")],
                    250.0,
                ),
                (
                    "narrows_dependent_bytes_total",
                    &[("source_workload", "checkout")],
                    250.0 * 2560.0,
                ),
                ("narrows_dependent_failures_total", &[], 0.0),
            ],
        );
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let mesh = mesh();
    let server = mesh
        .waypoint
        .run(|| Server::start(v4(2, 15008), Behaviour::default()))
        .expect("it listens");
    let mapped: SocketAddr = "[::ffff:10.90.0.2]:15008".parse().expect("an address");
    assert_eq!(mesh.checkout.run(|| Plan::burst(mapped, 20).run()).ok, 20);
    server.stop();
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_client_connections_opened_total", CALLED, 20.0),
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "checkout")],
                20.0,
            ),
        ],
    );
}

#[test]
fn refused() {
    let mesh = mesh();
    // The waypoint's upstream is closed, and so is a port of its own.
    assert_eq!(mesh.waypoint.run(|| Plan::burst(v4(21, 8080), 100).run()).refused, 100);
    assert_eq!(mesh.checkout.run(|| Plan::burst(v6(2, 15099), 60).run()).refused, 60);
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_connection_failures_total", &failed(UP, "refused"), 100.0),
            ("narrows_connection_failures_total", &[("phase", "handshake")], 100.0),
            ("narrows_connections_opened_total", &[], 0.0),
            (
                "narrows_client_connection_failures_total",
                &failed(CALLED, "refused"),
                60.0,
            ),
            ("narrows_client_connections_opened_total", CALLED, 0.0),
            (
                "narrows_dependent_failures_total",
                &[
                    ("source_workload", "checkout"),
                    ("source_workload_namespace", "shop"),
                    ("reason", "refused"),
                ],
                60.0,
            ),
            ("narrows_dependent_failures_total", &[], 60.0),
        ],
    );
}

#[test]
fn a_dropped_syn_times_out() {
    let mesh = mesh();
    mesh.catalog
        .netns
        .exec("iptables -A INPUT -p tcp --dport 8080 -j DROP")
        .expect("a packet filter");
    mesh.waypoint
        .netns
        .sysctl("net/ipv4/tcp_syn_retries", "1")
        .expect("set");
    let tally = mesh.waypoint.run(|| {
        Plan {
            workers: 10,
            patience_ms: 30_000,
            ..Plan::burst(v4(21, 8080), 10)
        }
        .run()
    });
    assert_eq!(tally.timed_out, 10);
    let syns = kernel_count(&mesh.waypoint, "TCPSynRetrans");
    assert!(syns >= 10.0, "at least one more SYN each, but {syns}");
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_connection_failures_total", &failed(UP, "timed_out"), 10.0),
            (
                "narrows_connection_failures_total",
                &[("reason", "timed_out"), ("phase", "handshake")],
                10.0,
            ),
            ("narrows_connection_failures_total", &[], 10.0),
            ("narrows_syn_retransmits_total", UP, syns),
            ("narrows_retransmitted_segments_total", &[], 0.0),
            ("narrows_connections_opened_total", &[], 0.0),
        ],
    );
}

/// What the kernel itself counts in a namespace: `/proc/net/netstat`, names in one line, values in the next.
fn kernel_count(workload: &Workload, name: &str) -> f64 {
    let text = workload
        .netns
        .exec("cat /proc/thread-self/net/netstat")
        .expect("counters");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let found = lines
        .chunks_exact(2)
        .find_map(|pair| Some(pair[1][pair[0].iter().position(|n| *n == name)?]));
    found
        .and_then(|value| value.parse().ok())
        .expect("the kernel has such a counter")
}

#[test]
fn an_established_connection_times_out() {
    let mesh = mesh();
    let listener = mesh
        .waypoint
        .run(|| TcpListener::bind(v4(2, 15008)))
        .expect("it listens");
    let mut caller = mesh
        .checkout
        .run(|| TcpStream::connect(v4(2, 15008)))
        .expect("connected");
    let accepted = listener.accept().expect("accepted").0;
    mesh.waypoint
        .netns
        .exec("iptables -A INPUT -p tcp --dport 15008 -j DROP")
        .expect("a packet filter");
    socket::setsockopt(&caller, sockopt::TcpUserTimeout, &500).expect("set");
    caller.write_all(&[1; 100]).expect("sent");
    let error = caller.read(&mut [0]).expect_err("no answer");
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    let metrics = mesh.agent.settle();
    expect(
        &metrics,
        &[
            (
                "narrows_client_connection_failures_total",
                &[("reason", "timed_out"), ("phase", "established")],
                1.0,
            ),
            ("narrows_client_connection_failures_total", &[], 1.0),
            // The point does not know yet.
            ("narrows_connection_failures_total", &[], 0.0),
            ("narrows_connections_active", DOWN, 1.0),
        ],
    );
    drop(accepted);
}

#[test]
fn unreachable() {
    let mesh = mesh();
    // Nobody answers for this address on the link.
    let absent = v4(99, 80);
    let tally = mesh.waypoint.run(|| {
        Plan {
            workers: 16,
            patience_ms: 30_000,
            ..Plan::burst(absent, 16)
        }
        .run()
    });
    assert_eq!(tally.failed, 16);
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_connection_failures_total", &failed(UP, "unreachable"), 16.0),
            ("narrows_connection_failures_total", &[], 16.0),
        ],
    );
}

#[test]
fn the_caller_gives_up_before_the_handshake_ends() {
    let mesh = mesh();
    mesh.waypoint
        .netns
        .exec("iptables -A INPUT -p tcp --dport 15008 -j DROP")
        .expect("a packet filter");
    mesh.checkout.run(|| {
        for _ in 0..30 {
            drop(begin_to_connect(v4(2, 15008)));
        }
    });
    expect(
        &mesh.agent.settle(),
        &[
            (
                "narrows_client_connection_failures_total",
                &failed(CALLED, "cancelled"),
                30.0,
            ),
            ("narrows_client_connection_failures_total", &[], 30.0),
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout"), ("reason", "cancelled")],
                30.0,
            ),
        ],
    );
}

#[test]
fn no_local_port_is_left() {
    let mesh = mesh();
    let listener = mesh
        .catalog
        .run(|| TcpListener::bind(v4(21, 8080)))
        .expect("it listens");
    mesh.waypoint
        .netns
        .sysctl("net/ipv4/ip_local_port_range", "40000 40003")
        .expect("set");
    let open: Vec<_> = mesh
        .waypoint
        .run(|| (0..7).map(|_| TcpStream::connect(v4(21, 8080))).collect());
    assert_eq!(open.iter().filter(|stream| stream.is_ok()).count(), 4);
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_connections_opened_total", UP, 4.0),
            ("narrows_connection_failures_total", &failed(UP, "no_local_port"), 3.0),
            ("narrows_connection_failures_total", &[], 3.0),
        ],
    );
    drop(listener);
}

#[test]
fn reset_by_either_side() {
    let mesh = mesh();
    let listener = mesh
        .waypoint
        .run(|| TcpListener::bind(v4(2, 15008)))
        .expect("it listens");
    let connect = || {
        let caller = mesh
            .checkout
            .run(|| TcpStream::connect(v4(2, 15008)))
            .expect("connected");
        (caller, listener.accept().expect("accepted").0)
    };
    for _ in 0..30 {
        // The caller resets with a linger time of 0.
        let (caller, accepted) = connect();
        abort(caller);
        to_the_end(accepted);
    }
    for _ in 0..20 {
        // The point closes with unread data.
        let (mut caller, accepted) = connect();
        caller.write_all(&[1; 10]).expect("sent");
        accepted.peek(&mut [0; 10]).expect("it is there");
        drop(accepted);
        to_the_end(caller);
    }
    // Its farewell is held back, so that it is not over when the data comes.
    let filter = |verb: &str| {
        let rule = format!("iptables {verb} OUTPUT -p tcp --tcp-flags FIN FIN -j DROP");
        mesh.waypoint.netns.exec(&rule).expect("a packet filter");
    };
    filter("-A");
    for _ in 0..10 {
        // Data comes in after the point has closed: the point sends the reset, though its kernel calls tcp_reset.
        let (mut caller, accepted) = connect();
        drop(accepted);
        caller.write_all(&[1; 10]).expect("sent");
        to_the_end(caller);
    }
    filter("-D");
    for _ in 0..5 {
        // A clean end, among them.
        let (caller, accepted) = connect();
        drop(caller);
        to_the_end(accepted);
    }
    mesh.agent
        .wait_for("65 closed", |m| m.sum("narrows_connections_closed_total", DOWN) == 65.0);
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_connections_opened_total", DOWN, 65.0),
            ("narrows_connections_active", DOWN, 0.0),
            (
                "narrows_connection_failures_total",
                &failed(DOWN, "reset_by_peer"),
                30.0,
            ),
            (
                "narrows_connection_failures_total",
                &failed(DOWN, "reset_by_self"),
                30.0,
            ),
            ("narrows_connection_failures_total", &[], 60.0),
            ("narrows_client_connections_opened_total", CALLED, 65.0),
            (
                "narrows_client_connection_failures_total",
                &failed(CALLED, "reset_by_self"),
                30.0,
            ),
            (
                "narrows_client_connection_failures_total",
                &failed(CALLED, "reset_by_peer"),
                30.0,
            ),
            ("narrows_client_connection_failures_total", &[], 60.0),
            // Each failure once, at the vantage that shows it.
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout")],
                60.0,
            ),
        ],
    );
}

#[test]
fn a_full_accept_queue_drops_handshakes() {
    let mesh = mesh();
    // Nobody accepts. The kernel lets one more in than the backlog says.
    let listener = mesh.waypoint.run(|| listen(v4(2, 15008), 4));
    let callers: Vec<_> = mesh.checkout.run(|| {
        (0..5)
            .map(|_| TcpStream::connect(v4(2, 15008)).expect("queued"))
            .collect()
    });
    let late = mesh.checkout.run(|| begin_to_connect(v4(2, 15008)));
    let port: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];
    // The listener is this process's, which is no process of the point: it is met by walks over all files alone, and those are rare on
    // a slow machine.
    let metrics = mesh.agent.wait_for("a dropped handshake, and the queue", |m| {
        m.sum("narrows_accept_queue_drops_total", port) >= 1.0
            && m.get("narrows_accept_queue_connections", port).is_some()
    });
    expect(
        &metrics,
        &[
            ("narrows_accept_queue_connections", port, 5.0),
            ("narrows_accept_queue_limit_connections", port, 4.0),
            ("narrows_accept_queue_utilization_ratio", port, 1.0),
            ("narrows_connections_active", DOWN, 5.0),
        ],
    );
    let drops = metrics.sum("narrows_accept_queue_drops_total", port);
    drop((listener, callers, late));
    // The queue is gone with its listener, what it dropped is not. The unaccepted connections are reset, and counted once.
    let metrics = mesh.agent.wait_for("the end of the listener", |m| {
        m.get("narrows_accept_queue_connections", port).is_none()
    });
    assert!(metrics.sum("narrows_accept_queue_drops_total", port) >= drops);
    mesh.agent.wait_for("five that were never accepted", |m| {
        m.sum("narrows_connection_failures_total", &failed(DOWN, "never_accepted")) == 5.0
    });
    let metrics = mesh.agent.settle();
    assert_eq!(metrics.sum("narrows_connection_failures_total", DOWN), 5.0);
}
