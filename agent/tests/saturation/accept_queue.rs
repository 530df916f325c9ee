//! A point that does not accept: what waits, what is turned away, and that it is all over when it goes on.

use super::{
    common::expect,
    histogram::Gained,
    mesh::{DOWN, Mesh, POINT, PORT, Paused, REPLY, REQUEST, and, converse, entry},
};
use narrows_testbed::{
    envoy, haproxy,
    load::{self, Crowd},
    scrape::Metrics,
};
use std::time::{Duration, Instant};

const QUEUED: &str = "narrows_accept_queue_connections";
const OLDEST: &str = "narrows_accept_queue_oldest_seconds";
const DROPS: &str = "narrows_accept_queue_drops_total";
const CALLERS_RETRIES: &str = "narrows_client_syn_retransmits_total";

/// Nobody waits, and so nobody has waited.
fn is_empty(metrics: &Metrics) -> bool {
    metrics.get(QUEUED, PORT) == Some(0.0) && metrics.get(OLDEST, PORT).unwrap_or(0.0) == 0.0
}

#[test]
fn three_hundred_callers_before_a_proxy_that_hangs() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let options = envoy::Options {
        backlog: Some(128),
        ..envoy::Options::default()
    };
    let envoy = mesh.envoy(&options);
    assert!(is_empty(&mesh.agent.metrics()));

    let paused = Paused::new(envoy.process());
    let begin = Instant::now();
    let patience = Duration::from_secs(6);
    let crowd = mesh
        .checkout
        .run(|| Crowd::start(entry(), 300, patience))
        .expect("sent");
    // The kernel lets one more in than the backlog says.
    let full = mesh
        .agent
        .wait_for("a full queue", |m| m.get(QUEUED, PORT) == Some(129.0));
    expect(
        &full,
        &[
            ("narrows_accept_queue_limit_connections", PORT, 128.0),
            ("narrows_accept_queue_utilization_ratio", PORT, 1.0),
            ("narrows_connections_active", DOWN, 129.0),
        ],
    );
    // Whoever is first grows older with each tick, and is not older than the test.
    let mut before = full.sum(OLDEST, PORT);
    for _ in 0..3 {
        let oldest = mesh.agent.settle().sum(OLDEST, PORT);
        assert!(oldest > before, "{oldest} s after {before} s");
        before = oldest;
    }
    assert!(before <= begin.elapsed().as_secs_f64(), "{before} s");
    let stuck = mesh
        .agent
        .wait_for("dropped handshakes", |m| m.sum(DROPS, PORT) >= 171.0);

    let (tally, open) = crowd.finish();
    assert_eq!(
        (tally.attempts, tally.connected, tally.gave_up),
        (300, 129, 171),
        "{tally:?}"
    );
    let given_up = mesh.agent.settle();
    let cancelled = and(POINT, &[("reason", "cancelled")]);
    expect(
        &given_up,
        &[
            ("narrows_client_connections_opened_total", POINT, 129.0),
            ("narrows_client_connection_failures_total", &cancelled, 171.0),
            ("narrows_client_connection_failures_total", POINT, 171.0),
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout"), ("reason", "cancelled")],
                171.0,
            ),
            // The point itself knows nothing of all that.
            ("narrows_connection_failures_total", POINT, 0.0),
        ],
    );
    // Each SYN of the others was dropped, and each was sent again.
    let (drops, retries) = (given_up.sum(DROPS, PORT), given_up.sum(CALLERS_RETRIES, POINT));
    assert!(retries >= 171.0, "{retries}");
    assert_eq!(drops, 171.0 + retries);

    drop(paused);
    mesh.agent.wait_for("an empty queue", is_empty);
    for stream in open {
        converse(stream).expect("it is served after all");
    }
    mesh.agent.wait_for("129 closed", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == 129.0
    });
    let after = mesh.agent.settle();
    assert!(is_empty(&after));
    expect(
        &after,
        &[
            ("narrows_connections_opened_total", DOWN, 129.0),
            ("narrows_connections_active", POINT, 0.0),
            ("narrows_received_bytes_total", DOWN, (129 * REQUEST) as f64),
            ("narrows_sent_bytes_total", DOWN, (129 * REPLY) as f64),
            ("narrows_connection_failures_total", POINT, 0.0),
            (DROPS, PORT, drops),
        ],
    );
    let saturation = &[("point", "shop/waypoint"), ("resource", "accept_queue")];
    let saturation = [&stuck, &after].map(|metrics| metrics.get("narrows_saturation_ratio", saturation));
    assert_eq!(saturation, [Some(1.0), Some(0.0)]);
}

#[test]
fn sixty_callers_before_a_backlog_of_eight_pay_with_a_second() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let options = haproxy::Options {
        backlog: Some(8),
        ..haproxy::Options::default()
    };
    let haproxy = mesh.haproxy(&options);
    let before = mesh.agent.settle();
    let paused = Paused::new(haproxy.process());
    let patience = Duration::from_secs(120);
    let crowd = mesh.checkout.run(|| Crowd::start(entry(), 60, patience)).expect("sent");
    mesh.agent.wait_for("nine in the queue, the others dropped", |m| {
        m.get(QUEUED, PORT) == Some(9.0) && m.sum(DROPS, PORT) >= 51.0
    });
    drop(paused);
    let (tally, open) = crowd.finish();
    assert_eq!((tally.attempts, tally.connected), (60, 60), "{tally:?}");
    for stream in open {
        converse(stream).expect("served");
    }
    mesh.agent
        .wait_for("60 closed", |m| m.sum("narrows_connections_closed_total", DOWN) == 60.0);
    let metrics = mesh.agent.settle();
    assert!(is_empty(&metrics));
    assert!(metrics.sum(CALLERS_RETRIES, POINT) >= 51.0);
    let connect = Gained::between(&before, &metrics, "narrows_client_connect_duration_seconds", POINT);
    // Who was not among the first nine waited for the first repetition, which comes after a second.
    assert_eq!(connect.count(), 60.0, "{connect:?}");
    assert!(connect.above(0.524_288) >= 51.0, "{connect:?}");
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, 60.0),
            ("narrows_client_connections_opened_total", POINT, 60.0),
            ("narrows_client_connection_failures_total", &[], 0.0),
            ("narrows_connection_failures_total", &[], 0.0),
        ],
    );
}

#[test]
fn what_waits_when_the_proxy_dies_was_never_accepted() {
    let mesh = Mesh::new();
    let haproxy = mesh.haproxy(&haproxy::Options::default());
    haproxy.process().pause().expect("it stops");
    let crowd = mesh.checkout.run(|| Crowd::start(entry(), 25, Duration::from_secs(5)));
    let (tally, open) = crowd.expect("sent").finish();
    assert_eq!(tally.connected, 25, "{tally:?}");
    mesh.agent
        .wait_for("25 in the queue", |m| m.get(QUEUED, PORT) == Some(25.0));
    haproxy.kill().expect("it dies");
    mesh.agent.wait_for("the end of the listener", |m| {
        m.get(QUEUED, PORT).is_none() && m.sum("narrows_connections_closed_total", DOWN) == 25.0
    });
    expect(
        &mesh.agent.settle(),
        &[
            (
                "narrows_connection_failures_total",
                &and(DOWN, &[("reason", "never_accepted")]),
                25.0,
            ),
            ("narrows_connection_failures_total", POINT, 25.0),
            (
                "narrows_client_connection_failures_total",
                &and(POINT, &[("reason", "reset_by_peer")]),
                25.0,
            ),
            ("narrows_client_connection_failures_total", POINT, 25.0),
            ("narrows_connections_active", DOWN, 0.0),
        ],
    );
    drop(open);
}

#[test]
fn who_resets_while_waiting_was_never_accepted() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let haproxy = mesh.haproxy(&haproxy::Options::default());
    let paused = Paused::new(haproxy.process());
    let crowd = mesh.checkout.run(|| Crowd::start(entry(), 25, Duration::from_secs(5)));
    let (_, mut open) = crowd.expect("sent").finish();
    let patient = open.split_off(20);
    load::reset(open);
    mesh.agent
        .wait_for("20 closed", |m| m.sum("narrows_connections_closed_total", DOWN) == 20.0);
    let never_accepted = and(DOWN, &[("reason", "never_accepted")]);
    expect(
        &mesh.agent.settle(),
        &[
            // The kernel leaves them in the queue.
            (QUEUED, PORT, 25.0),
            ("narrows_connection_failures_total", &never_accepted, 20.0),
            ("narrows_connection_failures_total", POINT, 20.0),
            (
                "narrows_client_connection_failures_total",
                &and(POINT, &[("reason", "reset_by_self")]),
                20.0,
            ),
            ("narrows_connections_active", DOWN, 5.0),
        ],
    );
    drop(paused);
    for stream in patient {
        converse(stream).expect("served");
    }
    mesh.agent
        .wait_for("25 closed", |m| m.sum("narrows_connections_closed_total", DOWN) == 25.0);
    let metrics = mesh.agent.settle();
    assert!(is_empty(&metrics));
    // Now the proxy has accepted them, and found out; that counts no second time.
    expect(
        &metrics,
        &[
            ("narrows_connection_failures_total", &never_accepted, 20.0),
            ("narrows_connection_failures_total", DOWN, 20.0),
            ("narrows_connections_active", DOWN, 0.0),
        ],
    );
}
