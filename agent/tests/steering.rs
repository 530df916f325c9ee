//! Counts under interrupts: packets are handled on another processor than the one that sent them, so that programs are interrupted
//! by themselves, and the kernel leaves out runs of them.

mod common;

use common::{World, expect, inventory, start_with, v4};
use narrows_testbed::{
    agent::Agent,
    load::{RapidServer, rapid_connections},
    pace,
    scrape::Metrics,
    workload::Workload,
};

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];

/// The processor that clients run on; the server runs on the next one.
const CLIENTS: usize = 0;

/// Two workloads whose packets are handled where the other one runs, in the middle of what is done there.
struct Steered {
    checkout: Workload,
    waypoint: Workload,
    // Last, as the others are attached to its network.
    _world: World,
}

impl Steered {
    fn new() -> Self {
        let world = World::new();
        let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
        for (workload, processors) in [(&checkout, "1"), (&waypoint, "2")] {
            let steered = workload.netns.steer("eth0", processors);
            steered.expect("the kernel steers packets");
        }
        Self {
            checkout,
            waypoint,
            _world: world,
        }
    }

    fn start(&self, arguments: &[&str]) -> Agent {
        start_with(&inventory(&[&self.checkout], &[&self.waypoint]), arguments)
    }

    /// Makes about so many connections, and returns how many there were at each end.
    fn load(&self, connections: u64) -> u64 {
        let server = self.waypoint.run(|| RapidServer::start(v4(2, 15008), 3, CLIENTS + 1));
        let server = server.expect("it listens");
        let call = || rapid_connections(v4(2, 15008), 4, connections.div_ceil(4), CLIENTS);
        let made = self.checkout.run(call);
        assert_eq!(server.stop(), made);
        made
    }
}

/// Of so many connections one may be missing under steering, at either end: see the limits in ARCHITECTURE.md. Without the twin
/// of the life-cycle program it is one of some hundred.
const ONE_OF: f64 = 1_000.0;

#[test]
fn connections_are_counted_while_programs_are_interrupted() {
    let steered = Steered::new();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "flow_idle: 1\n").expect("written");
    let config = file.path().to_str().expect("a path in UTF-8");
    let agent = steered.start(&["--config", config]);
    let made = steered.load(pace::fewer(300_000)) as f64;
    let metrics = agent.wait_for("nothing to be open", |m| {
        m.sum("narrows_connections_active", DOWN) == 0.0
            && m.sum("narrows_dependent_open_connections", POINT) == 0.0
            && m.sum("narrows_connections_closed_total", DOWN) >= made * (1.0 - 1.0 / ONE_OF)
    });
    for (name, labels, expected) in [
        ("narrows_connections_opened_total", DOWN, made),
        ("narrows_connections_closed_total", DOWN, made),
        ("narrows_received_bytes_total", DOWN, 5.0 * made),
        ("narrows_sent_bytes_total", DOWN, 5.0 * made),
        ("narrows_client_connections_opened_total", POINT, made),
        ("narrows_dependent_connections_total", POINT, made),
    ] {
        let found = metrics.sum(name, labels);
        let missing = expected - found;
        assert!(
            missing >= 0.0 && missing <= expected / ONE_OF,
            "{name}{labels:?} is {found}, expected {expected}"
        );
    }
    expect(
        &metrics,
        &[
            ("narrows_connection_failures_total", POINT, 0.0),
            ("narrows_client_connection_failures_total", POINT, 0.0),
        ],
    );
}

#[test]
fn connections_that_are_open_by_the_counters_alone_end() {
    let steered = Steered::new();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "flow_idle: 1\n").expect("written");
    let config = file.path().to_str().expect("a path in UTF-8");
    let agent = steered.start(&["--config", config, "--off", "set_state_twin"]);
    let missed = |m: &Metrics| m.sum("narrows_lost_total", &[("what", "state_change")]);
    // Without the twin, changes of state are missing sooner or later.
    for _ in 0..20 {
        steered.load(pace::fewer(100_000));
        if missed(&agent.settle()) > pace::fewer(100) as f64 {
            break;
        }
    }
    let metrics = agent.wait_for("what no process has open to end", |m| {
        m.sum("narrows_connections_active", &[]) == 0.0 && m.sum("narrows_dependent_open_connections", &[]) == 0.0
    });
    let (missed, mended) = (missed(&metrics), metrics.sum("narrows_mended_connections_total", &[]));
    assert!(missed > 0.0, "no change of state was missed");
    assert!(
        mended <= missed,
        "{mended} connections ended for {missed} missing changes"
    );
}
