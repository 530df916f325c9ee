//! Connections that nobody accepts: because the proxy hangs, or because who called did not wait for it.

use super::{
    DOWN, POINT, and,
    common::{World, expect, inventory, listen, start, v4},
};
use narrows_testbed::load;
use std::net::TcpStream;

const FAILURES: &str = "narrows_connection_failures_total";
const AT_CALLERS: &str = "narrows_client_connection_failures_total";

#[test]
fn a_health_check_that_resets_and_a_proxy_that_hangs_differ_in_who_called() {
    let world = World::new();
    let (checkout, prober) = (world.workload("checkout", 11), world.workload("prober", 12));
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[&checkout, &prober], &[&waypoint]));
    // Nobody accepts.
    let listener = waypoint.run(|| listen(v4(2, 15008), 100));
    let connect = || TcpStream::connect(v4(2, 15008)).expect("queued");
    // The checks of a load balancer: connected, and reset at once.
    let checks = prober.run(|| (0..30).map(|_| connect()).collect());
    load::reset(checks);
    let waiting: Vec<_> = checkout.run(|| (0..5).map(|_| connect()).collect());
    agent.wait_for("the checks", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == 30.0
            && m.sum("narrows_connections_opened_total", DOWN) == 35.0
    });
    let never_accepted = and(DOWN, &[("reason", "never_accepted")]);
    let by_self = and(POINT, &[("reason", "reset_by_self")]);
    let by_peer = and(POINT, &[("reason", "reset_by_peer")]);
    expect(
        &agent.settle(),
        &[
            // Also while the proxy is as well as can be: it had no time to accept them.
            (FAILURES, &never_accepted, 30.0),
            (FAILURES, POINT, 30.0),
            (AT_CALLERS, &by_self, 30.0),
            (AT_CALLERS, POINT, 30.0),
            ("narrows_connections_active", DOWN, 5.0),
        ],
    );
    // The proxy that never accepted ends; its kernel resets what waits.
    drop(listener);
    agent.wait_for("the others", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == 35.0
    });
    let dependent = |who| [("source_workload", who), ("reason", "never_accepted")];
    expect(
        &agent.settle(),
        &[
            (FAILURES, &never_accepted, 35.0),
            (FAILURES, POINT, 35.0),
            (AT_CALLERS, &by_self, 30.0),
            (AT_CALLERS, &by_peer, 5.0),
            ("narrows_dependent_failures_total", &dependent("prober"), 30.0),
            ("narrows_dependent_failures_total", &dependent("checkout"), 5.0),
            ("narrows_dependent_failures_total", &[], 35.0),
        ],
    );
    // One by one, the peer says who did not wait.
    let answer = agent.get_json("/api/v1/failures?reason=never_accepted&point=shop/waypoint");
    let of = |who: &str| {
        let failures = answer["failures"].as_array().expect("a list").iter();
        failures.filter(|failure| failure["peer"]["name"] == who).count()
    };
    // Of one flow, ten a second are told.
    assert!(of("shop/prober") > 0 && of("shop/checkout") == 5, "{answer:#}");
    drop(waiting);
}
