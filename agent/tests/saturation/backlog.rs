//! Data that waits: in the point's sockets because it does not read, before its peers because they do not.

use super::{
    common::expect,
    mesh::{DOWN, Mesh, POINT, Paused, UP, and, entry, exit, write_all_that_fits},
};
use narrows_testbed::{
    envoy, haproxy,
    load::{Manner, Stubborn},
    scrape::Metrics,
};
use std::{io::Write, net::TcpStream};

const STALLED: &str = "narrows_connections_stalled";
const UNREAD: &str = "narrows_unread_bytes";
const UNACKNOWLEDGED: &str = "narrows_unacknowledged_bytes";

/// So many connections to the proxy.
fn callers(mesh: &Mesh, n: usize) -> Vec<TcpStream> {
    mesh.checkout.run(|| {
        let connect = || TcpStream::connect(entry()).expect("connected");
        std::iter::repeat_with(connect).take(n).collect()
    })
}

fn cause<'a>(side: &[(&'a str, &'a str)], cause: &'a str) -> Vec<(&'a str, &'a str)> {
    and(side, &[("cause", cause)])
}

#[test]
fn an_upstream_that_stops_reading_closes_its_window() {
    let mesh = Mesh::new();
    let stubborn = mesh.catalog.run(|| Stubborn::start(exit(), Manner::NeverReads));
    let stubborn = stubborn.expect("it listens");
    let _envoy = mesh.envoy(&envoy::Options::default());
    let mut callers = callers(&mesh, 3);
    mesh.agent.wait_for("three connections on either side", |m| {
        m.sum("narrows_connections_active", POINT) == 6.0
    });
    expect(
        &mesh.agent.settle(),
        &[
            (STALLED, POINT, 0.0),
            (UNREAD, POINT, 0.0),
            (UNACKNOWLEDGED, POINT, 0.0),
        ],
    );
    callers.iter_mut().for_each(write_all_that_fits);
    // Envoy keeps what it cannot pass on until it has enough, and then stops reading: its callers are stuck for that reason.
    let stuck = mesh.agent.wait_for("all of them to be stuck", |m| {
        m.sum(STALLED, &cause(UP, "zero_window")) == 3.0 && m.sum(STALLED, &cause(DOWN, "unread")) == 3.0
    });
    expect(
        &stuck,
        &[
            (STALLED, &cause(UP, "unread"), 0.0),
            (STALLED, &cause(UP, "unacknowledged"), 0.0),
            (STALLED, &cause(DOWN, "zero_window"), 0.0),
            (STALLED, &cause(DOWN, "unacknowledged"), 0.0),
            (UNREAD, UP, 0.0),
            (UNACKNOWLEDGED, DOWN, 0.0),
        ],
    );
    let (unread, unacknowledged) = (stuck.sum(UNREAD, DOWN), stuck.sum(UNACKNOWLEDGED, UP));
    assert!(
        unread > 3.0 * 1024.0 && unacknowledged > 3.0 * 1024.0,
        "{unread} {unacknowledged}"
    );
    let told = mesh.waypoint.netns.exec("ss -tnHO state established");
    let (received, sent) = queues(&told.expect("ss"));
    let settled = mesh.agent.settle();
    // What `ss` tells of the same sockets, which do not move.
    assert_eq!(
        (settled.sum(UNREAD, DOWN), settled.sum(UNACKNOWLEDGED, UP)),
        (received, sent)
    );
    assert_eq!(stubborn.accepted(), 3);
    drop((stubborn, callers));
    mesh.agent.wait_for("the end of all connections", |m| {
        m.sum("narrows_connections_active", POINT) == 0.0
    });
    let over = mesh.agent.settle();
    expect(
        &over,
        &[
            (STALLED, POINT, 0.0),
            (UNREAD, POINT, 0.0),
            (UNACKNOWLEDGED, POINT, 0.0),
        ],
    );
    let backlog = and(POINT, &[("resource", "backlog")]);
    let ratio = |metrics: &Metrics| {
        metrics
            .get("narrows_saturation_ratio", &backlog)
            .expect("a local point has one")
    };
    let (full, empty) = (ratio(&settled), ratio(&over));
    assert!(full > 0.0 && full <= 1.0 && empty == 0.0, "{full} {empty}");
}

/// Sums of the receive and send queues that `ss` lists.
fn queues(text: &str) -> (f64, f64) {
    let column = |line: &str, n: usize| line.split_whitespace().nth(n)?.parse::<f64>().ok();
    let sum = |n| text.lines().filter_map(|line| column(line, n)).sum();
    (sum(0), sum(1))
}

#[test]
fn a_proxy_that_hangs_leaves_exactly_so_much_unread() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let haproxy = mesh.haproxy(&haproxy::Options::default());
    let mut callers = callers(&mesh, 4);
    mesh.agent.wait_for("four connections on either side", |m| {
        m.sum("narrows_connections_active", POINT) == 8.0
    });
    let paused = Paused::new(haproxy.process());
    for caller in &mut callers {
        // The first of a longer request.
        let mut request = vec![0; 10_000];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 10]);
        caller.write_all(&request).expect("sent");
    }
    let stuck = mesh
        .agent
        .wait_for("what is unread", |m| m.sum(STALLED, &cause(DOWN, "unread")) == 4.0);
    expect(
        &stuck,
        &[
            (UNREAD, DOWN, 40_000.0),
            (UNREAD, UP, 0.0),
            (UNACKNOWLEDGED, POINT, 0.0),
            (STALLED, POINT, 4.0),
        ],
    );
    drop(paused);
    let over = mesh.agent.wait_for("all to be read", |m| m.sum(UNREAD, POINT) == 0.0);
    expect(&over, &[(STALLED, POINT, 0.0)]);
}

#[test]
fn an_application_that_never_accepts() {
    let mesh = Mesh::new();
    let stubborn = mesh
        .catalog
        .run(|| Stubborn::start(exit(), Manner::NeverAccepts { backlog: 4 }));
    let stubborn = stubborn.expect("it listens");
    let _envoy = mesh.envoy(&envoy::Options::default());
    let mut callers = callers(&mesh, 12);
    // Envoy gives up after five seconds.
    let given_up = and(UP, &[("reason", "cancelled")]);
    mesh.agent.wait_for("seven that Envoy gave up on", |m| {
        m.sum("narrows_connection_failures_total", &given_up) == 7.0
    });
    let metrics = mesh.agent.settle();
    // For Envoy the first five are as good as any: the application's kernel has accepted them.
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", UP, 5.0),
            ("narrows_connections_active", UP, 5.0),
            ("narrows_connection_failures_total", UP, 7.0),
            (STALLED, POINT, 0.0),
        ],
    );
    assert!(metrics.sum("narrows_syn_retransmits_total", UP) >= 7.0);
    // The application's kernel takes what fits into its buffers, and no more.
    callers.retain(|caller| {
        caller.set_nonblocking(true).expect("set");
        let open = matches!(caller.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        caller.set_nonblocking(false).expect("set");
        open
    });
    assert_eq!(callers.len(), 5, "Envoy has closed the others");
    callers.iter_mut().for_each(write_all_that_fits);
    mesh.agent.wait_for("five that are stuck", |m| {
        m.sum(STALLED, &cause(UP, "zero_window")) == 5.0 && m.sum(STALLED, &cause(DOWN, "unread")) == 5.0
    });
    // When it ends, its kernel resets them.
    drop(stubborn);
    mesh.agent.wait_for("five resets", |m| {
        mesh.failures(m, UP, "reset_by_peer") == 5.0 && m.sum("narrows_connections_active", UP) == 0.0
    });
}
