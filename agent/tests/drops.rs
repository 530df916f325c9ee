//! Packets that the kernel drops at a point, by reason and direction.

mod common;

use common::{World, inventory, start, v4};
use narrows_testbed::{agent::Agent, workload::Workload};
use nix::sys::socket::{self, sockopt};
use std::net::UdpSocket;

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const DROPPED: &str = "narrows_dropped_packets_total";

fn drops(reason: &str, direction: &str) -> [(&'static str, String); 3] {
    let point = ("point", "shop/waypoint".to_owned());
    [
        point,
        ("reason", reason.to_owned()),
        ("direction", direction.to_owned()),
    ]
}

#[track_caller]
fn has(agent: &Agent, reason: &str, direction: &str, number: f64) {
    let labels = drops(reason, direction);
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    let metrics = agent.settle();
    assert_eq!(metrics.sum(DROPPED, &labels), number, "{reason} {direction}");
}

fn bound(workload: &Workload, host: u8) -> UdpSocket {
    workload.run(|| UdpSocket::bind(v4(host, 5300))).expect("a free port")
}

#[test]
fn packets_that_a_rule_drops_on_their_way_out_are_counted_to_the_last() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    for workload in [&checkout, &waypoint] {
        let rule = "iptables -A OUTPUT -p udp --dport 5300 -j DROP";
        workload.netns.exec(rule).expect("a packet filter");
    }
    // Nobody who is no point is counted.
    for (socket, times) in [(bound(&checkout, 11), 30), (bound(&waypoint, 2), 50)] {
        for _ in 0..times {
            assert!(socket.send_to(&[1; 100], v4(99, 5300)).is_err(), "the rule is there");
        }
    }
    has(&agent, "netfilter_drop", "sent", 50.0);
    assert_eq!(agent.settle().sum(DROPPED, &[("direction", "sent")]), 50.0);
}

#[test]
fn packets_that_find_no_room_in_the_buffer_of_a_socket_are_counted_where_the_kernel_names_the_socket() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let receiver = bound(&waypoint, 2);
    socket::setsockopt(&receiver, sockopt::RcvBuf, &4096).expect("set");
    let sender = bound(&checkout, 11);
    for _ in 0..200 {
        sender.send_to(&[1; 1000], v4(2, 5300)).expect("sent");
    }
    receiver.set_nonblocking(true).expect("set");
    let mut read = 0;
    while receiver.recv(&mut [0; 1000]).is_ok() {
        read += 1;
    }
    assert!((1..200).contains(&read), "{read} were read");
    let metrics = agent.settle();
    if metrics.get("narrows_program_active", &[("program", "packet_rejected")]) == Some(1.0) {
        has(&agent, "socket_rcvbuff", "received", f64::from(200 - read));
    } else {
        // Before Linux 6.11.
        let status = agent.get_json("/api/v1/status").to_string();
        assert!(
            status.contains("kfree_skb of this kernel does not have its argument 4"),
            "{status}"
        );
        assert_eq!(metrics.sum(DROPPED, POINT), 0.0);
    }
}

#[test]
fn packets_of_an_open_connection_that_a_rule_drops_on_their_way_in_are_the_points() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let receiver = bound(&waypoint, 2);
    // Connected, it is found before the packet filter looks (`udp_v4_early_demux`).
    receiver.connect(v4(11, 5300)).expect("connected");
    let rule = "iptables -A INPUT -p udp --dport 5300 -j DROP";
    waypoint.netns.exec(rule).expect("a packet filter");
    let sender = bound(&checkout, 11);
    for _ in 0..40 {
        sender.send_to(&[1; 100], v4(2, 5300)).expect("sent");
    }
    has(&agent, "netfilter_drop", "received", 40.0);
    assert_eq!(agent.settle().sum(DROPPED, &[("direction", "sent")]), 0.0);
}
