//! Ages and lifetimes are those of the connections.

use super::common::{World, call, envoy, expect, inventory, start, start_server, v4};
use narrows_testbed::{load::Plan, workload::Workload};
use std::{
    io::Read as _,
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A connection through the point that has carried data, with the times between which it began.
struct Call {
    stream: TcpStream,
    began: (Instant, Instant),
}

impl Call {
    fn new(from: &Workload) -> Self {
        let before = Instant::now();
        let stream = from.run(|| call(v4(2, 15008))).expect("answered");
        Self {
            stream,
            began: (before, Instant::now()),
        }
    }

    /// The least and the greatest age that it may have, if it is looked at between these times.
    fn ages(&self, (from, to): (Instant, Instant)) -> (Duration, Duration) {
        (
            from.saturating_duration_since(self.began.1),
            to.duration_since(self.began.0),
        )
    }
}

/// That a number of connections of at least an age is one that their ages allow.
fn assert_older(found: f64, ages: &[(Duration, Duration)], bound: Duration, what: &str) {
    let least = ages.iter().filter(|(least, _)| *least >= bound).count() as f64;
    let most = ages.iter().filter(|(_, most)| *most >= bound).count() as f64;
    assert!((least..=most).contains(&found), "{what} {bound:?}: {found} of {ages:?}");
}

/// The time of a connection's first class but the youngest.
const BOUND: Duration = Duration::from_secs(1);

#[test]
fn ages_and_lifetimes_are_those_of_the_connections() {
    let world = World::new();
    let (checkout, billing) = (world.workload("checkout", 11), world.workload("billing", 12));
    let (catalog, waypoint) = (world.workload("catalog", 21), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout, &billing, &catalog], &[&waypoint]));
    let _server = start_server(&catalog);
    let _envoy = envoy(&waypoint, 2);
    agent.settle();

    let old: Vec<_> = (0..6).map(|_| Call::new(&checkout)).collect();
    let deadline = Instant::now() + BOUND;
    while Instant::now() < deadline {
        thread::sleep(deadline - Instant::now());
    }
    let young: Vec<_> = (0..3).map(|n| Call::new([&checkout, &billing][n % 2])).collect();
    let from = Instant::now();
    let metrics = agent.settle();
    let seen = (from, Instant::now());
    let ages = |calls: &mut dyn Iterator<Item = &Call>| calls.map(|call| call.ages(seen)).collect::<Vec<_>>();
    let all = ages(&mut old.iter().chain(&young));
    for side in ["downstream", "upstream"] {
        let labels = [("side", side), ("min_age_seconds", "1")];
        let found = metrics.sum("narrows_open_connections_by_age", &labels);
        assert_older(found, &all, BOUND, side);
    }
    let of = |who| {
        metrics.sum(
            "narrows_dependent_open_connections_by_age",
            &[("source_workload", who), ("min_age_seconds", "1")],
        )
    };
    assert_older(
        of("checkout"),
        &ages(&mut old.iter().chain([&young[0], &young[2]])),
        BOUND,
        "checkout",
    );
    assert_older(of("billing"), &ages(&mut young[1..2].iter()), BOUND, "billing");
    expect(
        &metrics,
        &[
            ("narrows_open_connections_by_age", &[("min_age_seconds", "30")], 0.0),
            ("narrows_connection_duration_seconds_count", &[], 0.0),
            ("narrows_lost_total", &[("what", "connection_age")], 0.0),
        ],
    );

    // Many that are shorter than a tick.
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 200).run()).ok, 200);
    let from = Instant::now();
    for call in old.iter().chain(&young) {
        call.stream.shutdown(Shutdown::Write).expect("shut down");
        assert_eq!((&call.stream).read(&mut [0; 8]).expect("the other end closes"), 0);
    }
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", &[]) == 418.0);
    let seen = (from, Instant::now());
    let metrics = agent.settle();
    let all: Vec<_> = old.iter().chain(&young).map(|call| call.ages(seen)).collect();
    for side in ["downstream", "upstream"] {
        let bucket = |le| {
            metrics.sum(
                "narrows_connection_duration_seconds_bucket",
                &[("side", side), ("le", le)],
            )
        };
        assert_eq!(bucket("+Inf"), 209.0);
        assert_older(209.0 - bucket("1.0"), &all, BOUND, side);
        let sum = metrics.sum("narrows_connection_duration_seconds_sum", &[("side", side)]);
        let (least, most) = (
            all.iter().map(|age| age.0).sum::<Duration>(),
            all.iter().map(|age| age.1).sum::<Duration>(),
        );
        // Whole milliseconds, and the short ones.
        assert!(
            (least.as_secs_f64() - 0.01..most.as_secs_f64() + 20.0).contains(&sum),
            "{side}: {sum} of {least:?} to {most:?}"
        );
    }
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_open_connections_by_age", &[], 0.0),
            ("narrows_dependent_open_connections_by_age", &[], 0.0),
        ],
    );
}
