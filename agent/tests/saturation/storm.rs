//! Failures by the thousand: the totals stay exact.

use super::{
    common::expect,
    mesh::{Mesh, POINT, and, entry},
};
use narrows_testbed::load::Plan;

#[test]
fn ten_thousand_refusals_in_a_second() {
    let mesh = Mesh::new();
    let tally = mesh.checkout.run(|| Plan::burst(entry(), 10_000).run());
    assert_eq!((tally.attempts, tally.refused), (10_000, 10_000), "{tally:?}");
    let metrics = mesh.agent.settle();
    expect(
        &metrics,
        &[
            (
                "narrows_client_connection_failures_total",
                &and(POINT, &[("reason", "refused"), ("phase", "handshake")]),
                10_000.0,
            ),
            ("narrows_client_connection_failures_total", &[], 10_000.0),
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout"), ("reason", "refused")],
                10_000.0,
            ),
            ("narrows_lost_total", &[("what", "failure_event_ring_full")], 0.0),
        ],
    );
    // What is said of each is bounded, and what is left out is counted: ten a second of the same kind.
    let limited = metrics.sum("narrows_lost_total", &[("what", "failure_event_rate_limited")]);
    assert!((9_000.0..10_000.0).contains(&limited), "{limited}");
}
