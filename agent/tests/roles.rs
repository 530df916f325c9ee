//! What the kernel programs read off a socket instead of keeping a record: its role, and how long its handshake took.

mod common;

use common::{World, begin_to_connect, expect, inventory, listen, start, v4};
use nix::sys::socket::{self, Shutdown, SockaddrIn};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
};

const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const UP: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "upstream")];

#[test]
fn what_comes_from_a_listener_with_backlog_0_is_downstream() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let listener = TcpListener::from(waypoint.run(|| listen(v4(2, 15008), 0)));
    for _ in 0..10 {
        let caller = checkout.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
        let accepted = listener.accept().expect("accepted").0;
        drop((caller, accepted));
    }
    agent.wait_for("the ends", |m| m.sum("narrows_connections_closed_total", DOWN) == 10.0);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", DOWN, 10.0),
            ("narrows_connections_opened_total", UP, 0.0),
            ("narrows_connections_closed_total", UP, 0.0),
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "checkout")],
                10.0,
            ),
        ],
    );
}

#[test]
fn a_socket_that_listened_before_it_connects_is_upstream() {
    let world = World::new();
    let (waypoint, catalog) = (world.workload("waypoint", 2), world.workload("catalog", 21));
    let agent = start(&inventory(&[&catalog], &[&waypoint]));
    let server = catalog.run(|| TcpListener::bind(v4(21, 8080))).expect("it listens");
    let SocketAddr::V4(to) = v4(21, 8080) else {
        unreachable!("it is IPv4")
    };
    let connected = waypoint.run(|| {
        let fd = listen(v4(2, 15008), 16);
        // On Linux this ends the listening, and the socket can be used again.
        socket::shutdown(fd.as_raw_fd(), Shutdown::Read).expect("it listens no more");
        socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to)).expect("connected");
        fd
    });
    let accepted = server.accept().expect("accepted").0;
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_active", UP, 1.0),
            ("narrows_connections_active", DOWN, 0.0),
        ],
    );
    drop((connected, accepted));
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", UP) == 1.0);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", UP, 1.0),
            ("narrows_connections_opened_total", DOWN, 0.0),
        ],
    );
}

#[test]
fn a_handshake_is_timed_from_its_first_syn() {
    let world = World::new();
    let (waypoint, catalog) = (world.workload("waypoint", 2), world.workload("catalog", 21));
    let agent = start(&inventory(&[&catalog], &[&waypoint]));
    let server = catalog.run(|| TcpListener::bind(v4(21, 8080))).expect("it listens");
    // At once, in well under a second.
    let quick = waypoint.run(|| TcpStream::connect(v4(21, 8080))).expect("connected");
    let metrics = agent.settle();
    let duration = |m: &narrows_testbed::scrape::Metrics| m.sum("narrows_connect_duration_seconds_sum", UP);
    expect(&metrics, &[("narrows_connect_duration_seconds_count", UP, 1.0)]);
    assert!(
        duration(&metrics) > 0.0 && duration(&metrics) < 0.5,
        "{}",
        duration(&metrics)
    );

    // The first SYN is lost; the second comes a second later.
    catalog
        .netns
        .exec("iptables -A INPUT -p tcp --dport 8080 -j DROP")
        .expect("a packet filter");
    let slow = waypoint.run(|| begin_to_connect(v4(21, 8080)));
    agent.wait_for("a repeated SYN", |m| m.sum("narrows_syn_retransmits_total", UP) >= 1.0);
    catalog.netns.exec("iptables -F INPUT").expect("no packet filter");
    agent.wait_for("the connection", |m| {
        m.sum("narrows_connections_opened_total", UP) == 2.0
    });
    let metrics = agent.settle();
    expect(&metrics, &[("narrows_connect_duration_seconds_count", UP, 2.0)]);
    let slowly = duration(&metrics);
    assert!(
        (1.0..60.0).contains(&slowly),
        "timed from the first SYN, it took more than a second, not {slowly}"
    );
    drop((quick, slow, server));
}
