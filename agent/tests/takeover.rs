//! The kernel goes on counting while agents end, are killed and are replaced: nothing is missed, and nothing is counted twice.

mod common;

use common::{
    World, binary, expect, inventory,
    pins::{Pins, kernel_objects},
    start_with, v4,
};
use narrows_testbed::{
    agent::Agent,
    command,
    load::{RapidServer, rapid_connections},
    pace,
    scrape::Metrics,
    wait,
    workload::Workload,
};
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];

fn run(arguments: &[&str]) -> Output {
    command::output(Command::new(binary()).args(arguments)).expect("it runs")
}

#[track_caller]
fn fails_with(output: &Output, sentence: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("narrows: ") && line.contains(sentence)),
        "{text}"
    );
}

/// A caller and a point, agents that follow one another, and a place for what they leave to each other.
struct Relay {
    pins: Pins,
    checkout: Workload,
    waypoint: Workload,
    // Last, as the others are attached to its network.
    _world: World,
}

impl Relay {
    fn new() -> Self {
        let world = World::new();
        Self {
            pins: Pins::new().expect("a BPF file system"),
            checkout: world.workload("checkout", 11),
            waypoint: world.workload("waypoint", 2),
            _world: world,
        }
    }

    /// The next agent.
    fn start(&self, arguments: &[&str]) -> Agent {
        let arguments = [&["--pins", self.pins.path()], arguments].concat();
        start_with(&self.inventory(), &arguments)
    }

    fn inventory(&self) -> String {
        inventory(&[&self.checkout], &[&self.waypoint])
    }

    /// Makes connections until `agents` has returned, and says how many.
    fn under_load<R>(&self, agents: impl FnOnce() -> R) -> (u64, R) {
        let server = self.waypoint.run(|| RapidServer::start(v4(2, 15008), 2, 1));
        let server = server.expect("it listens");
        let ended = AtomicBool::new(false);
        let (made, result) = thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut made: u64 = 0;
                while !ended.load(Ordering::Relaxed) {
                    made += self.checkout.run(|| rapid_connections(v4(2, 15008), 2, 50, 0));
                }
                made
            });
            let result = catch_unwind(AssertUnwindSafe(agents));
            ended.store(true, Ordering::Relaxed);
            let made = load.join().expect("no connection fails");
            (made, result.unwrap_or_else(|panic| resume_unwind(panic)))
        });
        assert_eq!(server.stop(), made);
        (made, result)
    }

    /// So many connections, one after the other.
    fn connections(&self, n: u64) {
        let server = self.waypoint.run(|| RapidServer::start(v4(2, 15008), 2, 1));
        let server = server.expect("it listens");
        self.checkout.run(|| rapid_connections(v4(2, 15008), 1, n, 0));
        assert_eq!(server.stop(), n);
    }
}

/// Waits until an agent shows that all of these connections, and no others, have come and gone.
#[track_caller]
fn all_are_counted(agent: &Agent, made: u64) -> Metrics {
    let made = made as f64;
    agent.wait_for("all connections to be over", |m| {
        m.sum("narrows_connections_active", DOWN) == 0.0
            && m.sum("narrows_connections_closed_total", DOWN) >= made
            && m.sum("narrows_dependent_open_connections", POINT) == 0.0
    });
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, made),
            ("narrows_connections_closed_total", DOWN, made),
            ("narrows_received_bytes_total", DOWN, 5.0 * made),
            ("narrows_sent_bytes_total", DOWN, 5.0 * made),
            ("narrows_client_connections_opened_total", POINT, made),
            ("narrows_client_connect_duration_seconds_count", POINT, made),
            ("narrows_dependent_connections_total", POINT, made),
            ("narrows_connection_failures_total", POINT, 0.0),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_dependent_open_connections", POINT, 0.0),
            ("narrows_mended_connections_total", &[], 0.0),
        ],
    );
    metrics
}

/// The counters of a scrape that are about connections.
fn counters(metrics: &Metrics) -> BTreeMap<String, f64> {
    let names = [
        "narrows_connections_opened_total",
        "narrows_connections_closed_total",
        "narrows_received_bytes_total",
        "narrows_dependent_connections_total",
        "narrows_client_connections_opened_total",
        "narrows_connect_duration_seconds_bucket",
        "narrows_attributed_connections_total",
    ];
    let series = names.into_iter().flat_map(|name| {
        metrics
            .series(name)
            .map(move |series| (format!("{name} {:?}", series.labels), series.value))
    });
    series.collect()
}

/// No counter goes back from one agent to the next: Prometheus would take that for a counter that began anew.
#[track_caller]
fn goes_on(before: &Metrics, after: &Metrics) {
    let after = counters(after);
    for (name, value) in counters(before) {
        let now = after.get(&name).copied();
        assert!(now.is_some_and(|now| now >= value), "{name} was {value} and is {now:?}");
    }
}

#[test]
fn a_killed_agent_is_followed_without_a_gap() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    let (made, last) = relay.under_load(|| {
        first.wait_for("connections", |m| {
            m.sum("narrows_connections_closed_total", DOWN) > 200.0
        });
        let before = first.settle();
        first.kill().expect("it ends");
        // For a while there is nobody.
        thread::sleep(Duration::from_millis(500));
        let second = relay.start(&[]);
        let after = second.settle();
        assert!(second.stderr().contains("nothing is missing"), "{}", second.stderr());
        goes_on(&before, &after);
        // Ended as a service manager would.
        second.stop().expect("it ends");
        let third = relay.start(&[]);
        goes_on(&after, &third.settle());
        third
    });
    let metrics = all_are_counted(&last, made);
    assert_eq!(metrics.sum("narrows_signal_active", &[("signal", "takeover")]), 1.0);
}

#[test]
fn new_programs_take_over_while_connections_begin_and_end() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    let (made, last) = relay.under_load(|| {
        first.wait_for("connections", |m| {
            m.sum("narrows_connections_closed_total", DOWN) > 200.0
        });
        let mut agent = first;
        // What is off changes what the programs are made of, and nothing of their maps. The first two are ended in different ways.
        let changes = ["retransmit_synack", "cgroup_rmdir", "retransmit_synack", "process_exec"];
        for off in &changes[..pace::fewer(changes.len() as u64).max(2) as usize] {
            let before = agent.settle();
            match *off {
                "cgroup_rmdir" => agent.stop(),
                _ => agent.kill(),
            }
            .expect("it ends");
            agent = relay.start(&["--off", off]);
            assert!(
                agent.stderr().contains("new kernel programs took over"),
                "{}",
                agent.stderr()
            );
            let after = agent.settle();
            goes_on(&before, &after);
            assert_eq!(relay.pins.epochs(), 1, "the programs before are gone");
        }
        agent
    });
    all_are_counted(&last, made);
}

/// Agents with other programs that are ended while they begin.
#[test]
fn agents_that_are_killed_while_they_take_over_lose_nothing() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    let inventory = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&inventory, relay.inventory()).expect("written");
    let (made, last) = relay.under_load(|| {
        first.wait_for("connections", |m| {
            m.sum("narrows_connections_closed_total", DOWN) > 200.0
        });
        let before = first.settle();
        first.kill().expect("it ends");
        // They need some 0.6 s to load their programs, and a moment to exchange them.
        for n in 0..pace::fewer(40) {
            let mut begins = Command::new(binary());
            begins
                .args([
                    "agent",
                    "--listen",
                    "127.0.0.1:0",
                    "--kubernetes",
                    "off",
                    "--pins",
                    relay.pins.path(),
                ])
                .args([
                    "--off",
                    ["cgroup_rmdir", "retransmit_synack"][n as usize % 2],
                    "--inventory",
                ])
                .arg(inventory.path())
                .stderr(Stdio::null());
            let mut begins = command::spawn(&mut begins).expect("it runs");
            thread::sleep(Duration::from_millis(200 + n * 25));
            begins.kill().expect("killed");
            begins.wait().expect("it ends");
        }
        let last = relay.start(&[]);
        let log = last.stderr();
        assert!(
            log.contains("nothing is missing") || log.contains("no connection is missing"),
            "{log}"
        );
        goes_on(&before, &last.settle());
        last
    });
    all_are_counted(&last, made);
    assert_eq!((relay.pins.layouts(), relay.pins.epochs()), (1, 1));
}

#[test]
fn open_connections_stay_with_whom_they_are_counted() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    let server = relay
        .waypoint
        .run(|| std::net::TcpListener::bind(v4(2, 15008)))
        .expect("it listens");
    let connect = || {
        let client = relay
            .checkout
            .run(|| std::net::TcpStream::connect(v4(2, 15008)))
            .expect("connected");
        (client, server.accept().expect("accepted"))
    };
    let before: Vec<_> = (0..3).map(|_| connect()).collect();
    first.wait_for("three", |m| m.sum("narrows_dependent_open_connections", POINT) == 3.0);
    first.kill().expect("it ends");
    let between: Vec<_> = (0..2).map(|_| connect()).collect();
    let second = relay.start(&[]);
    let metrics = second.wait_for("five", |m| m.sum("narrows_dependent_open_connections", POINT) == 5.0);
    expect(
        &metrics,
        &[
            ("narrows_connections_active", DOWN, 5.0),
            ("narrows_connections_opened_total", DOWN, 5.0),
            ("narrows_connections_closed_total", DOWN, 0.0),
        ],
    );
    drop(before);
    second.wait_for("two", |m| m.sum("narrows_dependent_open_connections", POINT) == 2.0);
    drop(between);
    all_of(&second, 5);
}

/// All have ended; they carried nothing.
fn all_of(agent: &Agent, made: u64) {
    let made = made as f64;
    let metrics = agent.wait_for("none", |m| m.sum("narrows_connections_active", DOWN) == 0.0);
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, made),
            ("narrows_connections_closed_total", DOWN, made),
            ("narrows_dependent_connections_total", POINT, made),
            ("narrows_dependent_open_connections", POINT, 0.0),
        ],
    );
}

#[test]
fn another_layout_says_what_the_gap_was() {
    let relay = Relay::new();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, "limits: { flows: 1000 }\n").expect("written");
    let first = relay.start(&[]);
    relay.connections(100);
    all_are_counted(&first, 100);
    first.stop().expect("it ends");
    // Counted by nobody who is asked later.
    relay.connections(50);
    let second = relay.start(&["--config", file.path().to_str().expect("UTF-8")]);
    let log = second.stderr();
    assert!(
        log.contains("metrics begin at 0")
            && log.contains("another layout")
            && log.contains(" s that have ended by now are missing"),
        "{log}"
    );
    relay.connections(70);
    all_are_counted(&second, 70);
    assert_eq!(relay.pins.layouts(), 1, "the layout before is gone");
}

/// Maps and programs, once no more of earlier ones are freed.
fn objects_that_stay() -> (usize, usize) {
    let (mut last, mut since) = (kernel_objects(), Instant::now());
    let found = wait::until("maps and programs that stay", FREED, || {
        let now = kernel_objects();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(5)).then_some(now)
    });
    found.expect("they stay")
}

#[test]
fn restarts_leak_nothing() {
    let relay = Relay::new();
    let nothing = objects_that_stay();
    let first = relay.start(&[]);
    let (made, last) = relay.under_load(|| {
        // The programs that count have constants of their own, as have those that the agent in office runs itself.
        first.kill().expect("it ends");
        let mut agent = relay.start(&[]);
        agent.settle();
        let one = objects_that_stay();
        for _ in 0..pace::fewer(20) {
            agent.kill().expect("it ends");
            agent = relay.start(&[]);
        }
        agent.settle();
        comes_to(one);
        agent
    });
    all_are_counted(&last, made);
    last.stop().expect("it ends");
    let output = run(&["uninstall", "--pins", relay.pins.path()]);
    assert!(output.status.success(), "{output:?}");
    comes_to(nothing);
}

/// The kernel frees what nobody has any more later, after grace periods of RCU for each map, which take their time on a busy machine:
/// more than two minutes beside three emulated ones, and a second alone.
const FREED: Duration = Duration::from_secs(600);

/// Waits for so many maps and programs.
#[track_caller]
fn comes_to(expected: (usize, usize)) {
    let reached = wait::until("so many maps and programs", FREED, || {
        (kernel_objects() == expected).then_some(())
    });
    reached.unwrap_or_else(|error| panic!("{error}: {expected:?}, and not {:?}", kernel_objects()));
}

#[test]
fn programs_without_an_agent_stop_in_time() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    relay.connections(100);
    all_are_counted(&first, 100);
    first.kill().expect("it ends");
    // As if fifteen minutes had passed.
    relay.pins.expire().expect("written");
    relay.connections(pace::fewer(2_000));
    assert_eq!(relay.pins.counting_epoch().expect("read"), 0, "nobody counts");
    let second = relay.start(&[]);
    let log = second.stderr();
    assert!(log.contains("has not been running for more than 15 minutes"), "{log}");
    relay.connections(10);
    all_are_counted(&second, 10);
}

/// What is wrong with a directory is said, and an agent works all the same.
#[track_caller]
fn works_and_says(relay: &Relay, sentence: &str) -> Metrics {
    let agent = relay.start(&[]);
    let log = agent.stderr();
    assert!(log.contains(sentence), "{log}");
    relay.connections(20);
    let metrics = all_are_counted(&agent, 20);
    agent.stop().expect("it ends");
    metrics
}

#[test]
fn what_is_left_half_made_or_damaged_is_not_gone_on_with() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    relay.connections(30);
    all_are_counted(&first, 30);
    first.kill().expect("it ends");
    let layout = relay.pins.layout().expect("there is one");
    // One map is missing.
    fs::remove_file(layout.join("maps/OWNERS")).expect("removed");
    works_and_says(&relay, "counting restarts");
    // One is another map.
    fs::remove_file(layout.join("maps/OWNERS")).expect("removed");
    relay.pins.pin_another_map(&layout.join("maps/OWNERS")).expect("pinned");
    works_and_says(&relay, "and not Definition");
    // Nothing is attached.
    fs::remove_dir_all(layout.join("epochs")).expect("removed");
    works_and_says(&relay, "has no program that counts");
    // The agent was ended before it said that they count.
    relay.pins.set_epoch(0).expect("written");
    works_and_says(&relay, "is not in use");
    // The state is of another version.
    relay.pins.damage_state().expect("damaged");
    let agent = relay.start(&[]);
    let log = agent.stderr();
    assert!(log.contains("the state of the previous agent cannot be used"), "{log}");
    relay.connections(20);
    all_are_counted(&agent, 20);
}

#[test]
fn a_directory_that_cannot_be_used_is_said_and_done_without() {
    let relay = Relay::new();
    let signal = |metrics: &Metrics| metrics.sum("narrows_signal_active", &[("signal", "takeover")]);
    let why = "the kernel counts only while this agent runs";
    relay.pins.give_to(65_534).expect("given away");
    assert_eq!(signal(&works_and_says(&relay, why)), 0.0);
    relay.pins.give_to(0).expect("taken back");
    relay.pins.read_only(true).expect("mounted");
    fs::remove_dir_all(relay.pins.path()).expect_err("read-only");
    assert_eq!(signal(&works_and_says(&relay, why)), 0.0);
    relay.pins.read_only(false).expect("mounted");
    // No BPF file system at all.
    let directory = tempfile::tempdir().expect("a directory");
    let pins = directory.path().join("narrows");
    let pins = pins.to_str().expect("UTF-8");
    let agent = start_with("workloads: []\n", &["--pins", pins]);
    assert!(agent.stderr().contains("is no BPF file system"), "{}", agent.stderr());
    let output = run(&["check", "--pins", pins]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("takeover") && line.contains("off")),
        "{table}"
    );
}

#[test]
fn one_agent_at_a_time() {
    let relay = Relay::new();
    let first = relay.start(&[]);
    let pins = relay.pins.path();
    fails_with(
        &run(&["agent", "--listen", "127.0.0.1:0", "--pins", pins]),
        "another agent uses",
    );
    fails_with(
        &run(&["uninstall", "--pins", pins]),
        &format!("cannot remove {pins}: a running agent uses it; stop the agent first"),
    );
    relay.connections(10);
    all_are_counted(&first, 10);
    first.stop().expect("it ends");
    // One that is to leave nothing removes what is there.
    let without = relay.start(&["--no-pin"]);
    assert!(without.stderr().contains("--no-pin: removed"), "{}", without.stderr());
    assert_eq!(relay.pins.layouts(), 0);
    without.stop().expect("it ends");
    relay.start(&[]).stop().expect("it ends");
    let output = run(&["uninstall", "--pins", pins]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&["uninstall", "--pins", pins]);
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("nothing to remove"),
        "{output:?}"
    );
}
