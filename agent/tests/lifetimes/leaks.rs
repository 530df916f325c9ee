//! Sockets that stay: whose they are, and who closed first.

use super::common::{World, expect, inventory, start, v4};
use narrows_testbed::{load::reset, workload::Workload};
use std::net::{Shutdown, TcpListener, TcpStream};

const DEPENDENT: &str = "narrows_dependent_half_closed_connections";
const SERVED: &str = "narrows_served_half_closed_connections";

#[test]
fn half_closed_connections_name_the_workload_and_who_closed_first() {
    let world = World::new();
    let (checkout, billing) = (world.workload("checkout", 11), world.workload("billing", 12));
    let (catalog, waypoint) = (world.workload("catalog", 21), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout, &billing, &catalog], &[&waypoint]));
    let own = waypoint.run(|| TcpListener::bind(v4(2, 15008))).expect("it listens");
    let other = catalog.run(|| TcpListener::bind(v4(21, 8080))).expect("it listens");
    let accept = |from: &Workload| {
        let caller = from.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
        (caller, own.accept().expect("accepted").0)
    };
    let open = || {
        let upstream = waypoint.run(|| TcpStream::connect(v4(21, 8080))).expect("connected");
        (upstream, other.accept().expect("accepted").0)
    };
    let close = |stream: &TcpStream| stream.shutdown(Shutdown::Write).expect("shut down");

    // Open on both sides: nothing to tell.
    let _open = (accept(&checkout), open());
    // Checkout has closed, and the point has not.
    let by_checkout: Vec<_> = (0..3).map(|_| accept(&checkout)).collect();
    by_checkout.iter().for_each(|(caller, _)| close(caller));
    // The point has closed, and billing has not.
    let to_billing: Vec<_> = (0..2).map(|_| accept(&billing)).collect();
    to_billing.iter().for_each(|(_, accepted)| close(accepted));
    // Catalog has closed, and the point has not.
    let (upstream, served) = open();
    close(&served);
    // It was reset, and the point keeps its socket; before, it was open at a tick.
    let (caller, _kept) = accept(&billing);
    agent.wait_for("a walk that meets all", |m| {
        m.sum("narrows_sockets", &[("side", "downstream"), ("state", "established")]) == 2.0
            && m.sum(DEPENDENT, &[]) == 5.0
            && m.sum(SERVED, &[]) == 1.0
    });
    reset(vec![caller]);
    let metrics = agent.wait_for("the one that is kept", |m| {
        m.sum("narrows_sockets", &[("state", "close")]) == 1.0
    });
    expect(
        &metrics,
        &[
            (
                DEPENDENT,
                &[("source_workload", "checkout"), ("first_fin", "peer")],
                3.0,
            ),
            (
                DEPENDENT,
                &[("source_workload", "billing"), ("first_fin", "point")],
                2.0,
            ),
            (DEPENDENT, &[], 5.0),
            (
                SERVED,
                &[("destination_workload", "catalog"), ("first_fin", "peer")],
                1.0,
            ),
            (SERVED, &[], 1.0),
            (
                "narrows_sockets",
                &[("side", "downstream"), ("state", "close_wait")],
                3.0,
            ),
            (
                "narrows_sockets",
                &[("side", "downstream"), ("state", "fin_wait2")],
                2.0,
            ),
            ("narrows_sockets", &[("side", "downstream"), ("state", "close")], 1.0),
            ("narrows_sockets", &[("side", "upstream"), ("state", "close_wait")], 1.0),
        ],
    );
    drop((by_checkout, to_billing, upstream));
    agent.wait_for("the end", |m| m.sum(DEPENDENT, &[]) + m.sum(SERVED, &[]) == 0.0);
}
