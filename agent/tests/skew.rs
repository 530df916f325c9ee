//! How the threads of a real Envoy share its work, beside what it says itself.

mod common;

use common::{World, call, envoy, inventory, start, start_server, v4};
use narrows_testbed::load::{Client, Plan};

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const CONNECTIONS: &[(&str, &str)] = &[("point", "shop/waypoint"), ("of", "connections")];
const CPU: &[(&str, &str)] = &[("point", "shop/waypoint"), ("of", "cpu")];

const WORKERS: u32 = 2;

#[test]
fn the_worker_with_the_most_connections_and_the_one_that_is_busy_are_found() {
    let world = World::new();
    let (checkout, catalog) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
    let _server = start_server(&catalog);
    let envoy = envoy(&waypoint, WORKERS);
    // Its threads are known from the next tick on.
    agent.settle();
    let metrics = agent.settle();
    assert_eq!(metrics.get("narrows_serving_threads", POINT), Some(0.0));
    assert_eq!(metrics.get("narrows_busiest_thread_share_ratio", CONNECTIONS), None);

    let held: Vec<_> = (0..15)
        .map(|_| checkout.run(|| call(v4(2, 15008))).expect("answered"))
        .collect();
    agent.settle();
    let metrics = agent.settle();
    let workers: Vec<f64> = (0..WORKERS)
        .map(|n| {
            let stat = format!("listener.10.90.0.2_15008.worker_{n}.downstream_cx_active");
            envoy.stat(&stat).expect("Envoy counts it") as f64
        })
        .collect();
    assert_eq!(workers.iter().sum::<f64>(), 15.0, "{workers:?}");
    let most = workers.iter().copied().fold(0.0, f64::max);
    assert_eq!(
        metrics.get("narrows_busiest_thread_share_ratio", CONNECTIONS),
        Some(most / 15.0)
    );
    let serving = workers.iter().filter(|n| **n > 0.0).count();
    assert_eq!(metrics.get("narrows_serving_threads", POINT), Some(serving as f64));
    drop(held);

    // One connection that carries as much as it can keeps one worker busy, and the other one has nothing to do.
    let plan = Plan {
        reply: u32::MAX,
        patience_ms: 60_000,
        ..Plan::burst(v4(2, 15008), 1)
    };
    let client = checkout.run(|| Client::start(plan));
    agent.wait_for("one busy worker", |m| {
        let busy = m.get("narrows_busiest_thread_cpu_ratio", POINT).unwrap_or(0.0);
        let share = m.get("narrows_busiest_thread_share_ratio", CPU).unwrap_or(0.0);
        busy > 0.2 && share > 0.8
    });
    drop(envoy);
    client.finish();
}
