//! Packets that get lost: repeated ones at first, and time-outs by phase in the end.

use super::{
    common::expect,
    mesh::{DOWN, Mesh, POINT, PORT, UP, and, converse, entry},
};
use narrows_testbed::{
    envoy, haproxy,
    load::{Crowd, Plan},
    loss::Loss,
    workload::Workload,
};
use std::{io::Write, net::TcpStream, time::Duration};

const SENT_AGAIN: &str = "narrows_retransmitted_segments_total";
const SYN_AGAIN: &str = "narrows_syn_retransmits_total";

/// Segments that the kernel of a namespace has sent again, SYNs among them.
fn sent_again(workload: &Workload) -> f64 {
    let text = workload.netns.exec("nstat -asz TcpRetransSegs").expect("nstat");
    let line = text.lines().find(|line| line.starts_with("TcpRetransSegs"));
    let count = line.and_then(|line| line.split_whitespace().nth(1)).expect("its count");
    count.parse().expect("a number")
}

#[test]
fn what_is_lost_is_sent_again_on_the_side_where_it_was_lost() {
    let mesh = Mesh::new();
    let server = mesh.server();
    let _haproxy = mesh.haproxy(&haproxy::Options::default());
    let plan = Plan {
        request: 500_000,
        reply: 500_000,
        patience_ms: 60_000,
        ..Plan::burst(entry(), 8)
    };
    let closed = |n| {
        mesh.agent
            .wait_for("all closed", |m| m.sum("narrows_connections_closed_total", POINT) == n);
        mesh.agent.settle()
    };
    // Requests on their way to the server: the point sends them again.
    let loss = Loss::every(20, &mesh.catalog.netns, Some(mesh.waypoint.addresses[0])).expect("a packet filter");
    assert_eq!(mesh.checkout.run(|| plan.run()).ok, 8);
    drop(loss);
    let first = closed(16.0);
    let up = first.sum(SENT_AGAIN, UP);
    assert!(up > 0.0, "{}", first.listing(SENT_AGAIN));
    // On a slow machine a SYN-ACK may be sent again though it was not lost.
    let all = first.sum(SENT_AGAIN, POINT) + first.sum(SYN_AGAIN, POINT);
    assert_eq!(all, sent_again(&mesh.waypoint), "{}", first.listing("narrows_"));
    // And so may a reply.
    let down = first.sum(SENT_AGAIN, DOWN);
    assert!(down * 10.0 <= up, "{down} of {up}");
    // Replies on their way to the caller.
    let loss = Loss::every(20, &mesh.checkout.netns, None).expect("a packet filter");
    assert_eq!(mesh.checkout.run(|| plan.run()).ok, 8);
    drop(loss);
    let second = closed(32.0);
    let down = second.sum(SENT_AGAIN, DOWN);
    assert!(down > 0.0, "{}", second.listing(SENT_AGAIN));
    let all = second.sum(SENT_AGAIN, POINT) + second.sum(SYN_AGAIN, POINT);
    assert_eq!(all, sent_again(&mesh.waypoint), "{}", second.listing("narrows_"));
    expect(
        &second,
        &[
            ("narrows_connections_opened_total", DOWN, 16.0),
            ("narrows_connection_failures_total", &[], 0.0),
        ],
    );
    assert_eq!(server.stop().answered, 16);
}

#[test]
fn syn_acks_that_are_lost_are_counted_once() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let _haproxy = mesh.haproxy(&haproxy::Options::default());
    let loss = Loss::all(&mesh.checkout.netns, None).expect("a packet filter");
    let crowd = mesh.checkout.run(|| Crowd::start(entry(), 5, Duration::from_secs(30)));
    let crowd = crowd.expect("sent");
    mesh.agent
        .wait_for("all to be sent again", |m| m.sum(SYN_AGAIN, DOWN) >= 5.0);
    drop(loss);
    let (tally, open) = crowd.finish();
    assert_eq!(tally.connected, 5, "{tally:?}");
    for stream in open {
        converse(stream).expect("served");
    }
    mesh.agent.wait_for("all closed", |m| {
        m.sum("narrows_connections_closed_total", POINT) == 10.0
    });
    expect(
        &mesh.agent.settle(),
        &[(SYN_AGAIN, DOWN, sent_again(&mesh.waypoint)), (SENT_AGAIN, POINT, 0.0)],
    );
    // The callers repeat their SYNs, ten or more, and the kernel counts these among the listener's drops. One that comes just as
    // the timer for the next SYN-ACK has run out is not told from a drop.
    let drops = mesh.agent.metrics().sum("narrows_accept_queue_drops_total", PORT);
    assert!(drops <= 2.0, "{drops}");
}

#[test]
fn a_server_that_is_gone_is_a_time_out_in_either_phase() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let _envoy = mesh.envoy(&envoy::Options::default());
    // Fewer repetitions than Envoy has patience. Up to Linux 6.5 the second setting is not there, and not needed.
    mesh.waypoint
        .netns
        .sysctl("net/ipv4/tcp_syn_retries", "1")
        .expect("set");
    let _older = mesh.waypoint.netns.sysctl("net/ipv4/tcp_syn_linear_timeouts", "0");
    mesh.waypoint.netns.sysctl("net/ipv4/tcp_retries2", "3").expect("set");
    let connect = || mesh.checkout.run(|| TcpStream::connect(entry()).expect("connected"));
    let mut open: Vec<_> = (0..10).map(|_| connect()).collect();
    mesh.agent
        .wait_for("ten upstream", |m| m.sum("narrows_connections_active", UP) == 10.0);
    let loss = Loss::all(&mesh.catalog.netns, Some(mesh.waypoint.addresses[0])).expect("a packet filter");
    for stream in &mut open {
        stream.write_all(&[0, 0, 0, 8, 0, 0, 0, 10]).expect("sent");
    }
    let late: Vec<_> = (0..7).map(|_| connect()).collect();
    let timed_out = |phase| and(UP, &[("reason", "timed_out"), ("phase", phase)]);
    mesh.agent.wait_for("all to time out", |m| {
        m.sum("narrows_connection_failures_total", UP) == 17.0
    });
    let metrics = mesh.agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_connection_failures_total", &timed_out("handshake"), 7.0),
            ("narrows_connection_failures_total", &timed_out("established"), 10.0),
            ("narrows_connections_opened_total", UP, 10.0),
            ("narrows_connections_active", UP, 0.0),
            (SYN_AGAIN, UP, 7.0),
        ],
    );
    assert!(metrics.sum(SENT_AGAIN, UP) >= 20.0, "{}", metrics.listing(SENT_AGAIN));
    // On a slow machine some may be sent again to the callers, too, though nothing was lost there.
    let all = metrics.sum(SENT_AGAIN, POINT) + metrics.sum(SYN_AGAIN, POINT);
    assert_eq!(all, sent_again(&mesh.waypoint), "{}", metrics.listing("narrows_"));
    drop((loss, late, open));
    // And it is over.
    converse(connect()).expect("served");
}
