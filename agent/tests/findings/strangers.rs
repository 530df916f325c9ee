//! What anybody may send: SYNs from made-up addresses, and SYNs to port 0.

use super::{
    DOWN, POINT, and,
    common::{World, expect, inventory, listen, start, start_with, v4},
    config, kernel_count,
};
use narrows_testbed::{load::forged_syns, pace, wait};
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

const FLOWS: &str = "narrows_flows";

#[test]
fn syns_from_made_up_addresses_make_no_flows() {
    // Fewer than a processor's queue of packets holds (net.core.netdev_max_backlog is 1,000): on a machine that stalls, all answers
    // are repeated at the same moment.
    let count = pace::fewer(900);
    let world = World::new();
    // Nobody has these addresses, and nobody says so: the answers are lost.
    let blackhole = world.fabric.netns().exec("ip route add blackhole 10.91.0.0/16");
    blackhole.expect("a route");
    let (checkout, scanner) = (world.workload("checkout", 11), world.workload("scanner", 12));
    let waypoint = world.workload("waypoint", 2);
    // Each answer is repeated once.
    let retries = waypoint.netns.sysctl("net/ipv4/tcp_synack_retries", "1");
    retries.expect("set");
    let agent = start(&inventory(&[&checkout, &scanner], &[&waypoint]));
    // There is room for all of them at once, or the kernel would answer with cookies and remember nothing.
    let listener: OwnedFd = waypoint.run(|| listen(v4(2, 15008), 4096));
    let before = agent.settle().sum(FLOWS, &[]);

    let SocketAddr::V4(target) = v4(2, 15008) else {
        unreachable!("it is IPv4")
    };
    let source = |n: u64| {
        let [.., high, low] = n.to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(10, 91, high, low), 40_000)
    };
    let at_least = |name, count| {
        let mut found = 0;
        let reached = wait::until(name, Duration::from_secs(20), || {
            found = kernel_count(&waypoint, name);
            (found >= count).then_some(())
        });
        assert!(reached.is_ok(), "{name} is {found}, not {count}");
        found
    };
    let sources: Vec<_> = (1..=count).map(source).collect();
    let received = kernel_count(&waypoint, "InSegs");
    for (n, some) in sources.chunks(200).enumerate() {
        let sent = scanner.run(|| forged_syns(target, some.iter().copied()));
        sent.expect("sent");
        // More at once than a processor's queue of packets holds would be dropped.
        at_least("InSegs", received + (200 * n + some.len()) as u64);
    }
    assert_eq!(at_least("TCPSynRetrans", count), count);
    agent.wait_for("all of them", |m| {
        m.sum("narrows_syn_retransmits_total", DOWN) == count as f64
    });
    let metrics = agent.settle();
    let flows = metrics.sum(FLOWS, &[]);
    assert!(
        flows < before + 20.0,
        "{count} made-up addresses made {} flows",
        flows - before
    );
    let lost = |what| [("what", what)];
    expect(
        &metrics,
        &[
            ("narrows_syn_retransmits_total", DOWN, count as f64),
            // In the one row of the point that is about nobody in particular.
            ("narrows_overflow_flows", &[], 1.0),
            ("narrows_lost_total", &lost("flow_detail"), 0.0),
            ("narrows_lost_total", &lost("flow_quota"), 0.0),
            ("narrows_lost_total", &lost("flow_owner"), 0.0),
            ("narrows_connections_opened_total", DOWN, 0.0),
            ("narrows_connection_failures_total", POINT, 0.0),
        ],
    );

    // Others have flows as ever.
    let listener = TcpListener::from(listener);
    let caller = checkout.run(|| TcpStream::connect(v4(2, 15008)));
    drop((caller.expect("connected"), listener.accept().expect("accepted")));
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == 1.0);
    expect(
        &agent.settle(),
        &[
            (
                "narrows_dependent_connections_total",
                &and(POINT, &[("source_workload", "checkout")]),
                1.0,
            ),
            ("narrows_dependent_connections_total", POINT, 1.0),
        ],
    );
}

#[test]
fn flows_to_port_0_leave_when_they_are_idle() {
    const ADDRESSES: u8 = 40;
    let world = World::new();
    let (waypoint, catalog) = (world.workload("waypoint", 2), world.workload("catalog", 21));
    for n in 100..100 + ADDRESSES {
        let line = format!("ip address add 10.90.0.{n}/24 dev eth0");
        catalog.netns.exec(&line).expect("another address");
    }
    let file = config("flow_idle: 3\n");
    let path = file.path().to_str().expect("a path in UTF-8");
    let agent = start_with(&inventory(&[&catalog], &[&waypoint]), &["--config", path]);
    // Nobody can listen there, but anybody may call.
    waypoint.run(|| {
        for n in 100..100 + ADDRESSES {
            let error = TcpStream::connect(v4(n, 0)).expect_err("nobody listens");
            assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "{error}");
        }
    });
    let refused = and(POINT, &[("side", "upstream"), ("reason", "refused")]);
    let total = f64::from(ADDRESSES);
    let metrics = agent.wait_for("each in a flow of its own", |m| {
        m.sum(FLOWS, &[]) >= total && m.sum("narrows_connection_failures_total", &refused) == total
    });
    expect(&metrics, &[("narrows_overflow_flows", &[], 0.0)]);
    agent.wait_for("idle flows to leave", |m| m.sum(FLOWS, &[]) < total);
    expect(
        &agent.settle(),
        &[
            ("narrows_connection_failures_total", &refused, total),
            ("narrows_connection_failures_total", POINT, total),
        ],
    );
}
