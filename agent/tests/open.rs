//! Connections that stay open: across ticks, and from before the agent started. And tables that are full, or idle.

mod common;

use common::{World, expect, inventory, start, start_with, v4};
use narrows_testbed::{
    load::{Behaviour, Plan, Server},
    pace,
    scrape::Metrics,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const CALLED: &[(&str, &str)] = &[("point", "shop/waypoint")];

fn exchange(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    from.write_all(&vec![1; bytes]).expect("sent");
    to.read_exact(&mut vec![0; bytes]).expect("received");
}

#[test]
fn bytes_of_an_open_connection_grow_with_each_tick() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let listener = waypoint.run(|| TcpListener::bind(v4(2, 15008))).expect("it listens");
    let mut caller = checkout.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
    let mut accepted = listener.accept().expect("accepted").0;
    let (mut received, mut sent) = (0.0, 0.0);
    for round in 1..=4 {
        exchange(&mut caller, &mut accepted, 1000 * round);
        exchange(&mut accepted, &mut caller, 7 * round);
        received += 1000.0 * round as f64;
        sent += 7.0 * round as f64;
        // Where it takes long to walk over all open files, new connections are not found at every tick.
        agent.wait_for("all bytes", |m| {
            m.sum("narrows_received_bytes_total", DOWN) == received && m.sum("narrows_sent_bytes_total", DOWN) == sent
        });
        expect(
            &agent.settle(),
            &[
                ("narrows_connections_opened_total", DOWN, 1.0),
                ("narrows_connections_active", DOWN, 1.0),
                ("narrows_connections_closed_total", DOWN, 0.0),
                ("narrows_received_bytes_total", DOWN, received),
                ("narrows_sent_bytes_total", DOWN, sent),
                (
                    "narrows_dependent_bytes_total",
                    &[("source_workload", "checkout")],
                    received + sent,
                ),
            ],
        );
    }
    assert!(agent.metrics().sum("narrows_round_trip_seconds_count", DOWN) >= 4.0);
    drop((caller, accepted));
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == 1.0);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, received),
            ("narrows_sent_bytes_total", DOWN, sent),
        ],
    );
}

#[test]
fn connections_from_before_the_start_are_adopted() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let listener = waypoint.run(|| TcpListener::bind(v4(2, 15008))).expect("it listens");
    let mut open: Vec<_> = (0..10)
        .map(|_| {
            let caller = checkout.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
            (caller, listener.accept().expect("accepted").0)
        })
        .collect();
    for (caller, accepted) in &mut open {
        exchange(caller, accepted, 5000);
    }
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let port: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];
    agent.settle();
    // The listener is this process's, which is no process of the point: it is met by walks over all files alone, and those are rare on
    // a slow machine.
    let metrics = agent.wait_for("a walk over all files", |m| {
        m.get("narrows_accept_queue_limit_connections", port).is_some()
    });
    expect(
        &metrics,
        &[
            // They were not opened now, and what they carried before is not counted.
            ("narrows_connections_opened_total", DOWN, 0.0),
            ("narrows_connections_active", DOWN, 10.0),
            ("narrows_received_bytes_total", DOWN, 0.0),
            ("narrows_accept_queue_limit_connections", port, 128.0),
            (
                "narrows_dependents",
                &[("point", "shop/waypoint"), ("scope", "workload")],
                1.0,
            ),
        ],
    );
    for (caller, accepted) in &mut open {
        exchange(caller, accepted, 300);
    }
    drop(open);
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == 10.0);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", &[], 0.0),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, 3000.0),
            ("narrows_sent_bytes_total", DOWN, 0.0),
            ("narrows_connection_failures_total", &[], 0.0),
        ],
    );
}

#[test]
fn totals_are_exact_when_the_flow_table_is_full() {
    // Listeners keep their places, so there are fewer of them than places; twice as many flows of connections compete for what
    // is left.
    const PORTS: u16 = 40;
    const VISITS: u64 = 20;
    let at_once = pace::fewer(60);
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, "limits: { flows: 64 }\nflow_idle: 0.4\n").expect("written");
    let agent = start_with(
        &inventory(&[&checkout], &[&waypoint]),
        &["--config", config.to_str().expect("a path in UTF-8")],
    );
    let servers: Vec<_> = waypoint.run(|| {
        (0..PORTS)
            .map(|n| Server::start(v4(2, 20_000 + n), Behaviour::default()).expect("it listens"))
            .collect()
    });
    let ok: u64 = checkout.run(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|worker| {
                    scope.spawn(move || {
                        let ports = (0..VISITS).flat_map(|_| (worker..PORTS).step_by(4));
                        ports
                            .map(|n| short_connections(v4(2, 20_000 + n), at_once))
                            .sum::<u64>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("it does not panic"))
                .sum()
        })
    });
    let total = f64::from(PORTS) * (VISITS * at_once) as f64;
    assert_eq!(ok as f64, total);
    agent.wait_for("all closed", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == total
    });
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, total),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, 16.0 * total),
            ("narrows_sent_bytes_total", DOWN, 16.0 * total),
            // Whether the peer was known or not, each connection is somebody's.
            (
                "narrows_dependent_connections_total",
                &[("point", "shop/waypoint")],
                total,
            ),
            ("narrows_connection_failures_total", &[], 0.0),
            ("narrows_flows_limit", &[], 64.0),
            ("narrows_lost_total", &[("what", "flow_owner")], 0.0),
        ],
    );
    let unknown = metrics.sum("narrows_dependent_connections_total", &[("source_workload", "unknown")]);
    let lost = metrics.sum("narrows_lost_total", &[("what", "flow_detail")]);
    assert!(unknown > 0.0 && unknown < total, "{unknown} of {total} without detail");
    assert!(
        lost >= unknown,
        "{unknown} connections without detail, but {lost} counted as such"
    );
    assert!(metrics.sum("narrows_overflow_flows", &[]) > 0.0);

    // Idle flows have left meanwhile; the entries without detail go on counting.
    agent.wait_for("room in the table", |m| m.sum("narrows_flows", &[]) < 64.0);
    let again: u64 = checkout.run(|| (0..PORTS).map(|n| short_connections(v4(2, 20_000 + n), 1)).sum());
    let total = total + again as f64;
    agent.wait_for("all closed", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == total
    });
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", DOWN, total),
            (
                "narrows_dependent_connections_total",
                &[("point", "shop/waypoint")],
                total,
            ),
        ],
    );
    assert_eq!(agent.get_json("/api/v1/status")["tick_error"], serde_json::Value::Null);
    drop(servers);
}

/// Connections with sixteen bytes each way, one after the other.
fn short_connections(to: SocketAddr, count: u64) -> u64 {
    Plan {
        workers: 1,
        request: 16,
        reply: 16,
        ..Plan::burst(to, count)
    }
    .run()
    .ok
}

#[test]
fn idle_flows_leave_without_losing_a_count() {
    const PORTS: u16 = 100;
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, "flow_idle: 0.4\n").expect("written");
    let agent = start_with(
        &inventory(&[&checkout], &[&waypoint]),
        &["--config", config.to_str().expect("a path in UTF-8")],
    );
    let listener = waypoint.run(|| TcpListener::bind(v4(2, 15001))).expect("it listens");
    let kept = checkout.run(|| TcpStream::connect(v4(2, 15001))).expect("connected");
    let accepted = listener.accept().expect("accepted").0;
    let servers: Vec<_> = waypoint.run(|| {
        (0..PORTS)
            .map(|n| Server::start(v4(2, 20_000 + n), Behaviour::default()).expect("it listens"))
            .collect()
    });
    let mut total = 0.0;
    for _ in 0..3 {
        // They take longer than a flow may be idle: connections meet flows that are about to be taken out.
        let ok: u64 = checkout.run(|| {
            (0..3 * PORTS)
                .map(|n| {
                    Plan {
                        workers: 1,
                        ..Plan::burst(v4(2, 20_000 + n % PORTS), 1)
                    }
                    .run()
                    .ok
                })
                .sum()
        });
        total += ok as f64;
        agent.wait_for("all counted", |m| {
            m.sum("narrows_connections_closed_total", DOWN) == total
        });
        // The listeners stay, and the open connection.
        agent.wait_for("idle flows to leave", |m| {
            m.sum("narrows_flows", &[]) < f64::from(2 * PORTS)
        });
        expect(
            &agent.settle(),
            &[
                ("narrows_connections_opened_total", DOWN, total + 1.0),
                ("narrows_client_connections_opened_total", CALLED, total + 1.0),
                ("narrows_connections_active", DOWN, 1.0),
                (
                    "narrows_dependent_connections_total",
                    &[("source_workload", "checkout")],
                    total + 1.0,
                ),
            ],
        );
    }
    assert_eq!(total, f64::from(9 * PORTS));
    drop((kept, accepted, servers));
    agent.wait_for("the end", |m| m.sum("narrows_connections_active", DOWN) == 0.0);
    expect(
        &agent.settle(),
        &[("narrows_connections_closed_total", DOWN, total + 1.0)],
    );
}

#[test]
fn ticks_in_the_middle_of_a_connection_change_nothing() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    // As many ticks as may be: sockets get their records while they connect, while they close, and in between.
    let agent = start_with(&inventory(&[&checkout], &[&waypoint]), &["--interval", "0.05"]);
    let server = waypoint
        .run(|| Server::start(v4(2, 15008), Behaviour::default()))
        .expect("it listens");
    let count = pace::fewer(12_000);
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), count).run()).ok, count);
    assert_eq!(server.stop().answered, count);
    let total = count as f64;
    agent.wait_for("all closed", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == total
    });
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", DOWN, total),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, total * 512.0),
            ("narrows_sent_bytes_total", DOWN, total * 2048.0),
            ("narrows_connection_failures_total", CALLED, 0.0),
            ("narrows_client_connections_opened_total", CALLED, total),
            ("narrows_client_connection_failures_total", CALLED, 0.0),
            (
                "narrows_dependent_bytes_total",
                &[("source_workload", "checkout")],
                total * 2560.0,
            ),
        ],
    );
}

#[test]
fn a_connection_that_begins_while_its_flow_leaves_ends_where_it_began() {
    const PORTS: u16 = 40;
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "flow_idle: 0.4\n").expect("written");
    let config = file.path().to_str().expect("a path in UTF-8");
    let agent = start_with(&inventory(&[&checkout], &[&waypoint]), &["--config", config]);
    let servers: Vec<_> = waypoint.run(|| {
        (0..PORTS)
            .map(|n| Server::start(v4(2, 20_000 + n), Behaviour::default()).expect("it listens"))
            .collect()
    });
    let connect = |n| TcpStream::connect(v4(2, 20_000 + n)).expect("connected");
    drop(checkout.run(|| (0..PORTS).map(connect).collect::<Vec<_>>()));
    // All flows become idle at the same time, are marked as leaving, and are gone a second later. The next connections begin
    // all along that way, so some of them while their flow leaves, and outlive it.
    let open: Vec<_> = checkout.run(|| {
        (0..PORTS)
            .map(|n| {
                std::thread::sleep(std::time::Duration::from_millis(75));
                connect(n)
            })
            .collect()
    });
    for _ in 0..4 {
        agent.settle();
    }
    drop(open);
    let both = f64::from(2 * PORTS);
    agent.wait_for("the ends", |m| m.sum("narrows_connections_closed_total", DOWN) == both);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", DOWN, both),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_client_connections_opened_total", CALLED, both),
        ],
    );
    drop(servers);
}

#[test]
fn an_owner_beyond_its_quota_takes_no_places_of_others() {
    const PORTS: u16 = 30;
    let world = World::new();
    let (scanner, checkout) = (world.workload("scanner", 12), world.workload("checkout", 11));
    let waypoint = world.workload("waypoint", 2);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "limits: { flows_per_owner: 10 }\n").expect("written");
    let config = file.path().to_str().expect("a path in UTF-8");
    let inventory = inventory(&[&scanner, &checkout], &[&waypoint]);
    let agent = start_with(&inventory, &["--config", config]);
    // Nobody listens there, nor at port 0: each attempt is a flow of its own.
    let refused = |port| TcpStream::connect(v4(2, port)).is_err();
    assert!(scanner.run(|| (0..PORTS).all(|n| refused(if n == 0 { 0 } else { 20_000 + n }))));
    assert!(checkout.run(|| (1..=5).all(|n| refused(20_000 + n))));
    let failures = |m: &Metrics, who| {
        let labels = [("source_workload", who)];
        m.sum("narrows_dependent_failures_total", &labels)
    };
    // Those of the scanner that found no place are its own, without who was called.
    let metrics = agent.wait_for("all failures of checkout", |m| failures(m, "checkout") == 5.0);
    assert!(
        failures(&metrics, "scanner") <= 10.0,
        "{}",
        failures(&metrics, "scanner")
    );
    assert_eq!(
        metrics.sum("narrows_lost_total", &[("what", "flow_quota")]),
        f64::from(PORTS) - 10.0
    );
    expect(&metrics, &[("narrows_lost_total", &[("what", "flow_detail")], 0.0)]);
}

#[test]
fn connections_beyond_the_bound_of_records_count_when_they_close() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "limits: { sockets: 1 }\n").expect("written");
    let config = file.path().to_str().expect("a path in UTF-8");
    let agent = start_with(&inventory(&[&checkout], &[&waypoint]), &["--config", config]);
    let listener = waypoint.run(|| TcpListener::bind(v4(2, 15008))).expect("it listens");
    let mut open: Vec<_> = (0..20)
        .map(|_| {
            let caller = checkout.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
            (caller, listener.accept().expect("accepted").0)
        })
        .collect();
    for (caller, accepted) in &mut open {
        exchange(caller, accepted, 100);
    }
    agent.wait_for("sockets without a record", |m| {
        m.sum("narrows_lost_total", &[("what", "socket_bound")]) > 0.0
    });
    expect(&agent.settle(), &[("narrows_connections_active", DOWN, 20.0)]);
    drop(open);
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == 20.0);
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, 2000.0),
        ],
    );
}
