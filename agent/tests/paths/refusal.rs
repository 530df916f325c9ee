//! A destination that refuses: it is told for its callers, and for nobody else.

use super::{
    matrix::{CONNECTIONS, Proxy},
    shop::{CALLERS, DESTINATIONS, Matrix, Shop, found, listing, path, sum},
};
use narrows::failures::{End, Failure};
use narrows_testbed::load::Behaviour;
use std::collections::BTreeMap;

/// The destination where nobody listens.
const CLOSED: usize = 2;

/// The callers of the records of refused connections of the proxy, with their number; `more` of the question.
fn recorded(shop: &Shop, more: &str) -> BTreeMap<String, usize> {
    let answer = shop
        .agent()
        .get_json(&format!("/api/v1/failures?point=shop/waypoint&reason=refused{more}"));
    let records: Vec<Failure> = serde_json::from_value(answer["failures"].clone()).expect("failures");
    let mut callers = BTreeMap::new();
    for record in records {
        let caller = match record.caller {
            Some(End::Workload(caller)) => caller,
            None => continue,
            other => panic!("{other:?}"),
        };
        *callers.entry(caller.name).or_default() += 1;
    }
    callers
}

/// `attempts`: how often the proxy tries for each call. It repeats them later: for whom is not known, or estimated.
fn expect_refusals(proxy: Proxy, attempts: u64) {
    let shop = Shop::new();
    let open: Vec<_> = (0..CLOSED).map(|n| shop.serve(n, Behaviour::default())).collect();
    let _proxy = proxy.start(&shop);
    shop.agent().settle();
    shop.agent().settle();
    proxy.refused_calls(&shop);

    let expected: Matrix = CONNECTIONS.map(|row| [0, 0, row[CLOSED]]);
    let total: u64 = expected.iter().flatten().sum();
    let metrics = shop.agent().wait_for("all refusals", |m| {
        sum(m, "narrows_path_failures_total") >= total * attempts
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
    assert_eq!(refused, (total * attempts) as f64);
    assert_eq!(sum(&metrics, "narrows_path_failures_total") as f64, refused);
    assert_eq!(
        sum(&metrics, "narrows_path_connections_total"),
        0,
        "{}",
        listing(&metrics)
    );

    // Failures are recorded up to a limit a second.
    let all = recorded(&shop, "");
    assert!(!all.is_empty());
    for (name, n) in &all {
        let theirs = recorded(&shop, &format!("&workload={name}"));
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
