//! Names of any kind, on their way from an object to a metric's label.

use crate::{
    common::{
        cluster::{connect, serve},
        promtool,
    },
    shop::{Shop, dependents, deployment},
};
use narrows_testbed::{http, kubernetes::manifests::Pod, scrape::Metrics};
/// Text that needs care wherever it is shown.
pub const HOSTILE: &str = "q\"u'o`t\\e\n\tn\\n{a=\"b\"}, # EOF\r é 日本 \u{202e}\u{0}\u{7f}";

#[test]
fn names_of_any_kind_come_back_unchanged_from_the_metrics() {
    const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";
    let shop = Shop::open();
    let waypoint = Pod::of("istio-waypoint").label(GATEWAY, HOSTILE);
    let waypoint = shop.cluster.prepare(waypoint, "waypoint-6f7d9c8b5d-ccccc", 3);
    shop.cluster.announce(&waypoint);
    let long = "long".repeat(60);
    let clients = [HOSTILE, long.as_str()].map(|workload| {
        let object = deployment(workload)
            .annotation(HOSTILE, HOSTILE)
            .label(HOSTILE, HOSTILE);
        let n = if workload == HOSTILE { 12 } else { 13 };
        let pod = shop.cluster.prepare(object, &format!("pod-{n}"), n);
        shop.cluster.announce(&pod);
        pod
    });
    let _server = serve(&waypoint, "istio-proxy", 3);
    for client in &clients {
        connect(client, "inventory", 3, 6);
    }
    let point = format!("shop/{HOSTILE}");
    let of = |metrics: &Metrics, workload: &str| {
        let labels = [("point", point.as_str()), ("source_workload", workload)];
        metrics.sum("narrows_dependent_connections_total", &labels)
    };
    shop.agent.wait_for("both clients", |metrics| {
        of(metrics, HOSTILE) == 6.0 && of(metrics, &long) == 6.0
    });
    shop.sells(3);
    assert_eq!(dependents(&shop.agent.metrics(), HOSTILE), 0.0);
    for accept in ["*/*", "application/openmetrics-text"] {
        let answer = http::get(shop.agent.address(), "/metrics", accept).expect("an answer");
        assert_eq!(answer.status, 200);
        let read = Metrics::parse(&answer.body).expect("it can be read");
        assert_eq!(of(&read, HOSTILE), 6.0, "{}", answer.body);
        if accept == "*/*" {
            assert_eq!(promtool(&answer.body), None);
        }
    }
}
