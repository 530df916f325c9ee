//! What is told of a failure.

use super::{Mesh, awaits, common::v4, common::v6, list};
use jiff::Timestamp;
use narrows::{
    api::Problem,
    failures::{End, Failure, PointName, Side, Vantage, WorkloadName},
    points::{Kind, Mesh as MeshKind},
};
use narrows_testbed::{
    http,
    load::{Behaviour, Plan, Server},
};
use std::{borrow::Cow, net::SocketAddr};

fn checkout() -> End {
    End::Workload(WorkloadName {
        name: "shop/checkout".to_owned(),
        kind: "Workload".to_owned(),
        principal: Some("spiffe://cluster.local/ns/shop/sa/checkout".to_owned()),
    })
}

fn waypoint() -> PointName {
    PointName {
        name: "shop/waypoint".to_owned(),
        kind: Kind::Waypoint,
        mesh: MeshKind::Istio,
        instance: Some("waypoint".to_owned()),
    }
}

fn its_socket() -> End {
    End::Point {
        point: waypoint(),
        acts_for: None,
    }
}

/// A failure of this test, without what no test can know: its number, its time, and the caller's port.
#[track_caller]
fn known(failure: &Failure, begin: Timestamp) -> Failure {
    let time: Timestamp = failure.time.parse().expect("a time");
    // To the millisecond, cut.
    let begin = Timestamp::from_millisecond(begin.as_millisecond()).expect("a time");
    assert!((begin..=Timestamp::now()).contains(&time), "{failure:?}, begun {begin}");
    assert!(failure.seq > 0);
    let without_port = |address: Option<SocketAddr>| {
        address.map(|address| match address.port() {
            8080 | 15008 | 15099 => address,
            _ => SocketAddr::new(address.ip(), 0),
        })
    };
    Failure {
        seq: 0,
        time: String::new(),
        local_address: without_port(failure.local_address),
        peer_address: without_port(failure.peer_address),
        ..failure.clone()
    }
}

#[test]
fn a_refused_call_shows_at_the_caller() {
    let mesh = Mesh::new(&[]);
    for to in [v4(2, 15099), v6(2, 15099)] {
        let begin = Timestamp::now();
        assert_eq!(mesh.checkout.run(|| Plan::burst(to, 1).run()).refused, 1);
        let found = awaits(
            &mesh.agent,
            "workload=shop/checkout&since=1h",
            1 + usize::from(to.is_ipv6()),
        );
        let failure = found.last().expect("one");
        let from = if to.is_ipv6() { v6(11, 0) } else { v4(11, 0) };
        assert_ne!(failure.local_address.map(|address| address.port()), Some(0));
        let expected = Failure {
            caller: None,
            caller_certainty: None,
            seq: 0,
            time: String::new(),
            vantage: Some(Vantage::Client),
            point: Some(waypoint()),
            side: Side::Upstream,
            owner: checkout(),
            peer: its_socket(),
            local_address: Some(from),
            peer_address: Some(to),
            service_port: 15099,
            reason: Cow::Borrowed("refused"),
            phase: Cow::Borrowed("handshake"),
            duration_seconds: None,
            sent_bytes: 0,
            received_bytes: 0,
            retransmits: 0,
            node: None,
        };
        assert_eq!(known(failure, begin), expected);
    }
}

#[test]
fn a_reset_shows_at_both_ends() {
    let mesh = Mesh::new(&[]);
    let reset = Behaviour {
        reset_every: Some(1),
        ..Behaviour::default()
    };
    let server = mesh
        .waypoint
        .run(|| Server::start(v4(2, 15008), reset))
        .expect("it listens");
    let begin = Timestamp::now();
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15008), 1).run()).reset, 1);
    assert_eq!(server.stop().reset, 1);

    let both = awaits(&mesh.agent, "point=shop/waypoint", 2);
    let at_the_point = both.iter().find(|failure| failure.side == Side::Downstream);
    let at_the_point = at_the_point.expect("the point's own socket saw it");
    let expected = Failure {
        caller: None,
        caller_certainty: None,
        seq: 0,
        time: String::new(),
        vantage: Some(Vantage::Own),
        point: Some(waypoint()),
        side: Side::Downstream,
        owner: its_socket(),
        peer: checkout(),
        local_address: Some(v4(2, 15008)),
        peer_address: Some(v4(11, 0)),
        service_port: 15008,
        reason: Cow::Borrowed("reset_by_self"),
        phase: Cow::Borrowed("established"),
        duration_seconds: at_the_point.duration_seconds,
        sent_bytes: 0,
        received_bytes: 512,
        retransmits: 0,
        node: None,
    };
    assert_eq!(known(at_the_point, begin), expected);

    let at_the_caller = both.iter().find(|failure| failure.side == Side::Upstream);
    let at_the_caller = at_the_caller.expect("the caller's socket saw it");
    let expected = Failure {
        caller: None,
        caller_certainty: None,
        vantage: Some(Vantage::Client),
        side: Side::Upstream,
        owner: checkout(),
        peer: its_socket(),
        local_address: Some(v4(11, 0)),
        peer_address: Some(v4(2, 15008)),
        reason: Cow::Borrowed("reset_by_peer"),
        duration_seconds: at_the_caller.duration_seconds,
        sent_bytes: 512,
        received_bytes: 0,
        ..expected
    };
    assert_eq!(known(at_the_caller, begin), expected);
    assert_eq!(at_the_point.peer_address, at_the_caller.local_address);
}

#[test]
fn a_connection_that_has_lived_says_how_long() {
    let mesh = Mesh::new(&[]);
    let reset = Behaviour {
        reset_every: Some(1),
        delay_ms: 5000,
    };
    let _server = mesh
        .waypoint
        .run(|| Server::start(v4(2, 15008), reset))
        .expect("it listens");
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15008), 1).run()).reset, 1);
    for failure in awaits(&mesh.agent, "point=shop/waypoint", 2) {
        // It is known from the first tick on, 0.2 s after its beginning or so.
        let seconds = failure.duration_seconds.expect("it has lived for several ticks");
        assert!(seconds > 0.0 && seconds < 60.0, "{failure:?}");
    }
}

#[test]
fn lists_are_filtered_and_read_on() {
    let mesh = Mesh::new(&[]);
    let call = |port, n| assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, port), n).run()).refused, n);
    call(15099, 3);
    // To nobody that is known, and from the point.
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(1, 9), 2).run()).refused, 2);
    assert_eq!(mesh.waypoint.run(|| Plan::burst(v4(11, 9), 4).run()).refused, 4);
    awaits(&mesh.agent, "workload=shop/checkout", 9);
    awaits(&mesh.agent, "workload=shop/checkout&point=shop/waypoint", 7);
    for (query, n) in [
        ("point=shop/waypoint&reason=refused", 7),
        ("point=shop%2Fwaypoint&reason=timed_out", 0),
        ("point=shop/other", 0),
        ("workload=shop/waypoint", 0),
        ("workload=shop/checkout&since=1h", 9),
        ("workload=shop/checkout&since=0s", 0),
        ("workload=shop/checkout&limit=4", 4),
    ] {
        assert_eq!(list(&mesh.agent, query).failures.len(), n, "{query}");
    }
    // The newest are the point's own.
    let newest = list(&mesh.agent, "workload=shop/checkout&limit=4");
    assert!(
        newest
            .failures
            .iter()
            .all(|failure| failure.vantage == Some(Vantage::Own)),
        "{newest:#?}"
    );
    // In pieces.
    let (mut from, mut found) = (0, Vec::new());
    for _ in 0..3 {
        let piece = list(&mesh.agent, &format!("workload=shop/checkout&limit=3&from={from}"));
        assert_eq!(piece.failures.len(), 3, "{piece:#?}");
        (from, _) = (piece.next, found.extend(piece.failures));
    }
    assert_eq!(found, list(&mesh.agent, "workload=shop/checkout").failures);
    assert!(found.is_sorted_by(|a, b| a.seq < b.seq));
    let metrics = mesh.agent.settle();
    assert_eq!(
        metrics.sum("narrows_failure_events_total", &[]),
        (list(&mesh.agent, "").next - 1) as f64
    );
    assert_eq!(metrics.sum("narrows_failure_records_limit", &[]), 10_000.0);
}

#[test]
fn a_bad_question_is_answered_with_a_sentence() {
    let mesh = Mesh::new(&[]);
    for (query, sentence) in [
        (
            "reason=refuse",
            "reason: \"refuse\" is not a reason, expected one of refused, timed_out",
        ),
        ("since=5", "since: \"5\" is not a valid duration, e.g. 90s, 1h30m or 7d"),
        (
            "workload=checkout",
            "workload: \"checkout\" is not a <namespace>/<name>",
        ),
        ("limit=many", "limit: \"many\" is no number"),
        ("follow=perhaps", "follow: \"perhaps\" is neither true nor false"),
        ("poin=a", "poin: there is no such parameter"),
    ] {
        let answer = http::get(mesh.agent.address(), &format!("/api/v1/failures?{query}"), "*/*").expect("an answer");
        assert_eq!(answer.status, 400, "{query}");
        let problem: Problem = serde_json::from_str(&answer.body).expect("a problem");
        let message = problem.message;
        assert!(
            message.starts_with(sentence) && message.lines().count() == 1,
            "{query}: {message}"
        );
    }
}

#[test]
fn each_is_logged_as_a_line_on_stdout() {
    let mesh = Mesh::new(&["--log-failures"]);
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), 5).run()).refused, 5);
    let told = awaits(&mesh.agent, "workload=shop/checkout", 5);
    let last = told.last().expect("five").seq;
    let log = super::wait::until("the last line", super::PATIENCE, || {
        let text = mesh.agent.stdout();
        let lines: Option<Vec<Failure>> = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).ok())
            .collect();
        let lines = lines.unwrap_or_else(|| panic!("nothing but failures: {text}"));
        lines.iter().any(|failure| failure.seq == last).then_some(lines)
    });
    let log = log.expect("all of them");
    assert!(log.iter().map(|failure| failure.seq).eq(1..=log.len() as u64));
    for failure in &told {
        assert!(log.contains(failure), "{failure:?}");
    }
    // And nothing of it in the log.
    assert!(!mesh.agent.stderr().contains("15099"), "{}", mesh.agent.stderr());
}

#[test]
fn without_being_asked_nothing_is_written_to_stdout() {
    let mesh = Mesh::new(&["--log", "debug"]);
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), 5).run()).refused, 5);
    awaits(&mesh.agent, "workload=shop/checkout", 5);
    mesh.agent.settle();
    assert_eq!(mesh.agent.stdout(), "");
}
