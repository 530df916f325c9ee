//! A destination that refuses or resets: it is told for its callers, and for nobody else.

use super::{
    matrix::{CONNECTIONS, Proxy, call_all_once},
    shop::{CALLERS, DESTINATIONS, Matrix, Shop, found, listing, path, recorded, sum, total},
};
use narrows_testbed::load::Behaviour;
use std::collections::BTreeMap;

/// The destination where nobody listens.
const CLOSED: usize = 2;

/// The destination that resets its connections after their request.
const RESETS: usize = 0;

/// `attempts`: how often the proxy tries for each call. It repeats them later: for whom is not known, or estimated.
fn expect_refusals(proxy: Proxy, attempts: u64) {
    let shop = Shop::new();
    let open: Vec<_> = (0..CLOSED).map(|n| shop.serve(n, Behaviour::default())).collect();
    let _proxy = proxy.start(&shop);
    shop.agent().settle();
    shop.agent().settle();
    proxy.refused_calls(&shop);

    let expected: Matrix = CONNECTIONS.map(|row| [0, 0, row[CLOSED]]);
    let all_calls = total(&expected);
    let metrics = shop.agent().wait_for("all refusals", |m| {
        sum(m, "narrows_path_failures_total") >= all_calls * attempts
    });
    let (all, _) = found(&metrics, "narrows_path_failures_total");
    for (found, calls) in all.iter().flatten().zip(expected.iter().flatten()) {
        let possible = *calls..=calls * attempts;
        assert!(possible.contains(found), "{found} of {calls}\n{}", listing(&metrics));
    }
    for (caller, row) in all.iter().enumerate() {
        let labels = [
            &path(caller, CLOSED)[..],
            &[("reason", "refused"), ("phase", "handshake")],
        ]
        .concat();
        assert_eq!(metrics.sum("narrows_path_failures_total", &labels), row[CLOSED] as f64);
    }
    // What the counters say of the point itself.
    let own = [("point", "shop/waypoint"), ("side", "upstream"), ("reason", "refused")];
    let refused = metrics.sum("narrows_connection_failures_total", &own);
    assert_eq!(refused, (all_calls * attempts) as f64);
    assert_eq!(sum(&metrics, "narrows_path_failures_total") as f64, refused);
    assert_eq!(
        sum(&metrics, "narrows_path_connections_total"),
        0,
        "{}",
        listing(&metrics)
    );

    // Failures are recorded up to a limit a second.
    let all = recorded(shop.agent(), "shop/waypoint", "");
    assert!(!all.is_empty());
    for (name, n) in &all {
        let theirs = recorded(shop.agent(), "shop/waypoint", &format!("&workload={name}"));
        assert_eq!(
            theirs,
            BTreeMap::from([(name.clone(), *n)]),
            "what concerns a caller is found by its name"
        );
        let caller = CALLERS.iter().position(|caller| *name == format!("shop/{caller}"));
        let calls = expected[caller.expect("one of the callers")][CLOSED];
        assert!(
            *n as u64 <= calls * attempts,
            "{n} of {name}, which called {} {calls} times",
            DESTINATIONS[CLOSED]
        );
    }
    drop(open);
}

#[test]
fn through_envoy_as_tcp() {
    for workers in [1, 4] {
        expect_refusals(Proxy::Envoy(workers), 1);
    }
}

#[test]
fn through_haproxy_as_tcp() {
    // The first one, and three that follow a second after each other (`retries 3`).
    expect_refusals(Proxy::Haproxy, 4);
}

/// A connection that carried a request of its caller, and that its destination then resets, is that caller's failure.
#[test]
fn a_destination_that_resets_is_told_for_its_callers() {
    for proxy in [Proxy::Envoy(1), Proxy::Envoy(4), Proxy::Haproxy] {
        let shop = Shop::new();
        let _servers: Vec<_> = (0..DESTINATIONS.len())
            .map(|n| {
                let behaviour = Behaviour {
                    reset_every: (n == RESETS).then_some(1),
                    ..Behaviour::default()
                };
                shop.serve(n, behaviour)
            })
            .collect();
        let _proxy = proxy.start(&shop);
        shop.agent().settle();
        shop.agent().settle();
        let replies = call_all_once(&shop);
        let expected: Matrix = CONNECTIONS.map(|row| [row[RESETS], 0, 0]);
        assert_eq!(replies, total(&CONNECTIONS) - total(&expected));

        let metrics = shop.agent().wait_for("all resets", |m| {
            sum(m, "narrows_path_failures_total") >= total(&expected)
        });
        let (all, _) = found(&metrics, "narrows_path_failures_total");
        assert_eq!(all, expected, "{}", listing(&metrics));
        let reset = [
            ("point", "shop/waypoint"),
            ("reason", "reset_by_peer"),
            ("phase", "established"),
        ];
        assert_eq!(
            metrics.sum("narrows_path_failures_total", &reset),
            total(&expected) as f64
        );
    }
}
