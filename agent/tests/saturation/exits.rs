//! Points whose processes end, and begin again.

use super::{
    common::expect,
    mesh::{DOWN, Mesh, POINT, and, entry, exit},
};
use narrows_testbed::{
    envoy,
    limits::Limits,
    load::{Crowd, Manner, Plan, Stubborn},
    scrape::Metrics,
    wait,
};
use std::{io::Write, time::Duration};

const STARTS: &str = "narrows_point_starts_total";
const EXITS: &str = "narrows_point_exits_total";

/// Waits until the point has ended so often.
fn ended(mesh: &Mesh, times: f64) -> Metrics {
    mesh.agent
        .wait_for("the end of a process", |m| m.sum(EXITS, POINT) == times);
    mesh.agent.settle()
}

#[test]
fn a_proxy_ends_is_killed_and_begins_again() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let reason = |reason| and(POINT, &[("reason", reason)]);
    let envoy = mesh.envoy(&envoy::Options::default());
    expect(&mesh.agent.settle(), &[(STARTS, POINT, 1.0), (EXITS, POINT, 0.0)]);
    assert!(envoy.stop().expect("it ends").success());
    expect(
        &ended(&mesh, 1.0),
        &[(STARTS, POINT, 1.0), (EXITS, &reason("exited"), 1.0)],
    );

    let envoy = mesh.envoy(&envoy::Options::default());
    expect(&mesh.agent.settle(), &[(STARTS, POINT, 2.0), (EXITS, POINT, 1.0)]);
    envoy.kill().expect("it dies");
    expect(
        &ended(&mesh, 2.0),
        &[
            (STARTS, POINT, 2.0),
            (EXITS, &reason("exited"), 1.0),
            (EXITS, &reason("killed"), 1.0),
        ],
    );

    // The point is the same one as before.
    let _envoy = mesh.envoy(&envoy::Options::default());
    assert_eq!(mesh.checkout.run(|| Plan::burst(entry(), 20).run()).ok, 20);
    mesh.agent
        .wait_for("20 closed", |m| m.sum("narrows_connections_closed_total", DOWN) == 20.0);
    expect(
        &mesh.agent.settle(),
        &[
            (STARTS, POINT, 3.0),
            (EXITS, POINT, 2.0),
            (EXITS, &reason("oom_killed"), 0.0),
            ("narrows_connections_opened_total", DOWN, 20.0),
            ("narrows_connection_failures_total", POINT, 0.0),
        ],
    );
}

#[test]
fn a_proxy_that_keeps_too_much_for_a_server_that_does_not_read_is_killed_for_want_of_memory() {
    let mesh = Mesh::new();
    let stubborn = mesh.catalog.run(|| Stubborn::start(exit(), Manner::NeverReads));
    let stubborn = stubborn.expect("it listens");
    let envoy = mesh.envoy(&envoy::Options::default());
    let limits = Limits::new(&mesh.waypoint.cgroup, None, Some(160 << 20)).expect("limits");
    limits.take_in(envoy.pid()).expect("taken in");
    let crowd = mesh
        .checkout
        .run(|| Crowd::start(entry(), 250, Duration::from_secs(10)));
    let (tally, mut open) = crowd.expect("sent").finish();
    assert_eq!(tally.connected, 250, "{tally:?}");
    for stream in &open {
        stream.set_nonblocking(true).expect("set");
    }
    // Envoy takes a megabyte of each before it stops reading.
    let piece = vec![b'x'; 64 << 10];
    let status = std::path::PathBuf::from(format!("/proc/{}/status", envoy.pid()));
    wait::until("Envoy to be killed", Duration::from_secs(60), || {
        for stream in &mut open {
            let _full_or_gone = stream.write(&piece);
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        (text.is_empty() || text.contains("State:\tZ")).then_some(())
    })
    .expect("it is killed");
    mesh.agent.wait_for("its sockets to be closed", |m| {
        m.sum("narrows_connections_active", DOWN) == 0.0
    });
    expect(
        &ended(&mesh, 1.0),
        &[
            (STARTS, POINT, 1.0),
            (EXITS, &and(POINT, &[("reason", "oom_killed")]), 1.0),
            ("narrows_connections_active", DOWN, 0.0),
        ],
    );
    // What it had still to send, its kernel keeps until the server lets go of it.
    drop(stubborn);
    mesh.agent.wait_for("the end of all connections", |m| {
        m.sum("narrows_connections_active", POINT) == 0.0
    });
    drop((open, envoy, limits));
}
