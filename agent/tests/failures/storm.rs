//! Ten thousand failures at a time: all are counted, what is told is bounded, and what is not told is known.

use super::{
    Mesh, PATIENCE,
    common::{expect, v4},
    configuration, list,
    stream::Stream,
    wait,
};
use narrows::failures::{End, Failure, Lost};
use narrows_testbed::{agent::Agent, load::Plan, scrape::Metrics};

const STORM: u64 = 10_000;
const REFUSED: &[(&str, &str)] = &[("point", "shop/waypoint"), ("reason", "refused")];
const COUNTED: &str = "narrows_client_connection_failures_total";

/// The `n`th storm; returns what the agent counts after it.
fn storm(mesh: &Mesh, n: u64) -> Metrics {
    let plan = Plan {
        workers: 8,
        ..Plan::burst(v4(2, 15099), STORM)
    };
    assert_eq!(mesh.checkout.run(|| plan.run()).refused, STORM);
    let metrics = mesh.agent.settle();
    let all = (n * STORM) as f64;
    expect(
        &metrics,
        &[
            (COUNTED, REFUSED, all),
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout")],
                all,
            ),
        ],
    );
    metrics
}

/// What was not told, because a flow had told of many, and because there was no room.
fn untold(metrics: &Metrics) -> (u64, u64) {
    let lost = |what| metrics.sum("narrows_lost_total", &[("what", what)]) as u64;
    (lost("failure_event_rate_limited"), lost("failure_event_ring_full"))
}

fn is_ours(failure: &Failure) -> bool {
    failure.service_port == 15099
        && matches!(&failure.owner, End::Workload(workload) if workload.name == "shop/checkout")
}

fn resident(agent: &Agent) -> f64 {
    agent.settle().sum("process_resident_memory_bytes", &[])
}

#[test]
fn a_flow_tells_of_few_and_the_rest_is_known() {
    let mesh = Mesh::new(&[]);
    let metrics = storm(&mesh, 1);
    let (limited, full) = untold(&metrics);
    let answer = list(&mesh.agent, "workload=shop/checkout&limit=10000");
    let told = answer.failures.iter().filter(|failure| is_ours(failure)).count() as u64;
    println!("{told} told, {limited} limited, {full} without room");
    assert!(limited > STORM / 2 && told >= 10, "{told} told, {limited} limited");
    assert_eq!(told + limited + full, STORM);
    assert_eq!(
        (
            answer.dropped.failure_event_rate_limited,
            answer.dropped.failure_event_ring_full
        ),
        (limited, full)
    );
}

#[test]
fn without_a_limit_each_is_told_or_known_to_have_found_no_room() {
    let file =
        configuration("failure_events_per_second: 1000000\nlimits: { failure_events: 30000 }\nlog_failures: true\n");
    let mesh = Mesh::new(&["--config", file.path().to_str().expect("UTF-8")]);
    let (limited, full) = untold(&storm(&mesh, 1));
    let lines = wait::until("the log", PATIENCE, || {
        let text = mesh.agent.stdout();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines: Vec<Failure> = whole
            .map(|line| serde_json::from_str(line).expect("a failure"))
            .collect();
        (lines.len() as u64 + 1 >= list(&mesh.agent, "limit=1").next).then_some(lines)
    })
    .expect("all of them");
    assert!(lines.iter().map(|failure| failure.seq).eq(1..=lines.len() as u64));
    let told = lines.iter().filter(|failure| is_ours(failure)).count() as u64;
    println!("{told} told, {limited} limited, {full} without room");
    assert_eq!(told + limited + full, STORM);
    let answer = list(&mesh.agent, "workload=shop/checkout&limit=30000");
    assert_eq!(
        answer.failures.iter().filter(|failure| is_ours(failure)).count() as u64,
        told
    );
}

#[test]
fn memory_is_bounded_and_a_slow_reader_knows_what_it_missed() {
    let file = configuration("failure_events_per_second: 1000000\nlimits: { failure_events: 1000 }\n");
    let mesh = Mesh::new(&["--config", file.path().to_str().expect("UTF-8")]);
    let mut slow = Stream::narrow(mesh.agent.address(), "");
    let start = slow.next();
    assert_eq!(start.name, "start");
    // Something else on this machine may have failed before.
    let earlier = start.id.expect("a number");
    storm(&mesh, 1);
    let before = resident(&mesh.agent);
    storm(&mesh, 2);
    let after = resident(&mesh.agent);
    println!("{:.1} MiB, then {:.1} MiB", before / 1048576.0, after / 1048576.0);
    assert!(after - before < 4.0 * 1048576.0, "from {before} to {after} bytes");

    let answer = list(&mesh.agent, "limit=100000");
    assert_eq!(answer.failures.len(), 1000);
    assert_eq!(answer.dropped.overwritten + 1000 + 1, answer.next);
    expect(
        &mesh.agent.settle(),
        &[
            ("narrows_failure_records", &[], 1000.0),
            ("narrows_failure_records_limit", &[], 1000.0),
        ],
    );

    // Both storms were more than the connection holds.
    let (mut seen, mut missed, mut last) = (0, 0, earlier);
    while last + 1 < answer.next {
        let event = slow.next();
        match event.name.as_str() {
            "failure" => {
                last = event.id.expect("a number");
                seen += 1;
            }
            "lost" => missed += serde_json::from_str::<Lost>(&event.data).expect("a number").missed,
            _ => {}
        }
        let told = earlier + seen + missed;
        assert_eq!(last.max(told), told, "each is seen or missed");
    }
    println!("{seen} seen, {missed} missed");
    assert!(missed > 0, "{seen} were seen");
    assert_eq!(earlier + seen + missed, answer.next - 1);
}
