//! The resources of points, against what the kernel says of their processes and what limits the test has set.

mod common;

use common::{
    World, binary,
    daemon_set::{DaemonSet, Node},
    start,
};
use narrows::{
    node::resources::Reader,
    points::{Kind, Mesh, Point},
};
use narrows_testbed::{
    actor::Actor,
    agent::Agent,
    burden::Weight,
    cgroup::{self, Cgroup},
    command,
    limits::Limits,
    scrape::Metrics,
    tools, wait,
};
use nix::sys::signal::Signal;
use std::{fs, process::Command, sync::Arc, time::Duration};

const POINT: &[(&str, &str)] = &[
    ("point", "shop/waypoint"),
    ("kind", "waypoint"),
    ("mesh", "istio"),
    ("instance_pod", "waypoint"),
];

const CPU: &str = "narrows_cpu_seconds_total";

const MIB: u64 = 1 << 20;

/// How long processes may take to use as much as a test asks for: other tests run, too.
const PATIENCE: Duration = Duration::from_secs(30);

const BUSY: Weight = Weight {
    threads: 1,
    memory_bytes: 0,
    files: 0,
};

/// The kernel tells `/proc/<pid>/stat` in hundredths of a second, for user and kernel time each, and counts a cgroup's time from
/// when a process enters it.
const ROUNDING: f64 = 0.05;

/// The cgroup of a point, and an agent that knows it.
struct Scene {
    // In the order in which they go.
    agent: Agent,
    cgroup: Option<Cgroup>,
    path: String,
    _world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let path = format!("{}/waypoint", world.top);
        let cgroup = Cgroup::new(&path).expect("a cgroup");
        let inventory = format!(
            "points:\n  - {{ name: waypoint, namespace: shop, kind: waypoint, mesh: istio, cgroup: {} }}\n",
            cgroup.path()
        );
        Self {
            agent: start(&inventory),
            cgroup: Some(cgroup),
            path,
            _world: world,
        }
    }

    fn cgroup(&self) -> &Cgroup {
        self.cgroup.as_ref().expect("there is one")
    }

    fn limits(&self, processors: Option<f64>, memory: Option<u64>) -> Limits {
        Limits::new(self.cgroup(), processors, memory).expect("limits")
    }

    fn burden(&self, weight: Weight, limits: Option<&Limits>) -> Actor<()> {
        Actor::burden(weight, self.cgroup(), limits).expect("it runs")
    }
}

fn value(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name, POINT)
}

fn saturation(metrics: &Metrics, resource: &str) -> Option<f64> {
    let labels: Vec<_> = POINT.iter().copied().chain([("resource", resource)]).collect();
    metrics.get("narrows_saturation_ratio", &labels)
}

/// Processor time of a process, in seconds.
fn cpu_of(pid: u32) -> f64 {
    let process = procfs::process::Process::new(pid.cast_signed()).expect("it runs");
    let stat = process.stat().expect("it runs");
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// Lets a process use so much processor time, and no more from then on. Returns how much it was.
fn use_up(actor: &Actor<()>, seconds: f64) -> f64 {
    let used = || cpu_of(actor.pid());
    wait::until("processor time", PATIENCE, || (used() >= seconds).then_some(())).expect("it is busy");
    actor.signal(Signal::SIGSTOP);
    // The first thread can have stopped while the busy ones still run.
    let all_stopped = || {
        let process = procfs::process::Process::new(actor.pid().cast_signed()).ok()?;
        let mut threads = process.tasks().ok()?;
        threads
            .all(|thread| {
                thread
                    .and_then(|thread| thread.stat())
                    .is_ok_and(|stat| stat.state == 'T')
            })
            .then_some(())
    };
    wait::until("it to stop", PATIENCE, all_stopped).expect("it stops");
    used()
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found}, expected about {expected}"
    );
}

#[test]
fn processor_time_is_that_of_its_processes_and_never_goes_down() {
    let mut scene = Scene::new();
    scene.agent.wait_for("the point", |m| value(m, CPU) == Some(0.0));
    let first = scene.burden(BUSY, None);
    let mut used = use_up(&first, 1.0);
    near(value(&scene.agent.settle(), CPU).expect("a series"), used, ROUNDING);
    first.signal(Signal::SIGKILL);
    drop(first);

    // It starts anew: in the same cgroup, and in a new one.
    let second = scene.burden(BUSY, None);
    used += use_up(&second, 0.5);
    let before = value(&scene.agent.settle(), CPU).expect("a series");
    near(before, used, 2.0 * ROUNDING);
    drop(second);
    scene.cgroup = None;
    let alone = scene.agent.settle();
    assert!(
        value(&alone, CPU).is_some_and(|seconds| seconds >= before),
        "{}",
        alone.listing("narrows_cpu")
    );
    // What has ended is no use.
    assert_eq!(
        (saturation(&alone, "cpu"), value(&alone, "narrows_memory_bytes")),
        (None, None)
    );

    scene.cgroup = Some(Cgroup::new(&scene.path).expect("a new cgroup"));
    let third = scene.burden(BUSY, None);
    used += use_up(&third, 0.5);
    let after = scene.agent.settle();
    let seconds = value(&after, CPU).expect("a series");
    assert!(seconds >= before, "{before} → {seconds}");
    near(seconds, used, 3.0 * ROUNDING);
    assert_eq!(value(&after, "narrows_cpu_limit_cores"), None);
}

#[test]
fn a_quota_throttles_and_the_point_is_full() {
    let scene = Scene::new();
    let limits = scene.limits(Some(0.05), None);
    let actor = scene.burden(BUSY, Some(&limits));
    let throttled = "narrows_cpu_throttled_periods_total";
    let metrics = scene.agent.wait_for("throttled periods", |m| {
        value(m, throttled).is_some_and(|n| n >= 10.0) && saturation(m, "cpu").is_some_and(|ratio| ratio > 0.9)
    });
    assert_eq!(value(&metrics, "narrows_cpu_limit_cores"), Some(0.05));
    assert!(value(&metrics, "narrows_cpu_throttled_seconds_total").is_some_and(|seconds| seconds > 0.1));
    assert!(value(&metrics, "narrows_cpu_periods_total") >= value(&metrics, throttled));
    // Where the kernel measures pressure, this is some.
    let waiting: Vec<_> = POINT
        .iter()
        .copied()
        .chain([("resource", "cpu"), ("scope", "some")])
        .collect();
    let pressure = metrics.get("narrows_pressure_seconds_total", &waiting);
    match metrics.get("narrows_signal_active", &[("signal", "pressure")]) {
        Some(1.0) => assert!(pressure.is_some_and(|seconds| seconds > 0.1), "{pressure:?}"),
        _ => assert_eq!(pressure, None),
    }

    actor.signal(Signal::SIGSTOP);
    scene
        .agent
        .wait_for("an idle point", |m| saturation(m, "cpu") == Some(0.0));
    let metrics = scene.agent.settle();
    let held_back = value(&metrics, throttled).expect("a series");
    drop((actor, limits));
    // The counters outlive the quota.
    let later = scene.agent.settle();
    assert!(
        value(&later, throttled).is_some_and(|n| n >= held_back),
        "{}",
        later.listing("narrows_cpu")
    );
}

#[test]
fn memory_is_held_against_its_limit() {
    let scene = Scene::new();
    let without = scene.burden(
        Weight {
            memory_bytes: 64 << 20,
            ..Weight::default()
        },
        None,
    );
    let metrics = scene.agent.wait_for("memory in use", |m| {
        value(m, "narrows_memory_bytes").is_some_and(|bytes| bytes >= (64 * MIB) as f64)
    });
    let ratio = saturation(&metrics, "memory").expect("the machine's memory stands in");
    assert!(ratio > 0.0 && ratio < 0.5, "{ratio}");
    assert_eq!(value(&metrics, "narrows_memory_limit_bytes"), None);
    drop(without);

    let limits = scene.limits(None, Some(256 * MIB));
    let _actor = scene.burden(
        Weight {
            memory_bytes: 128 << 20,
            ..Weight::default()
        },
        Some(&limits),
    );
    let metrics = scene.agent.wait_for("memory in use", |m| {
        value(m, "narrows_memory_bytes").is_some_and(|bytes| bytes >= (128 * MIB) as f64)
            && value(m, "narrows_memory_limit_bytes").is_some()
    });
    assert_eq!(value(&metrics, "narrows_memory_limit_bytes"), Some((256 * MIB) as f64));
    let bytes = value(&metrics, "narrows_memory_bytes").expect("a series");
    assert!(bytes < (192 * MIB) as f64, "{bytes}");
    near(
        saturation(&metrics, "memory").expect("a series"),
        bytes / (256 * MIB) as f64,
        1e-9,
    );
}

#[test]
fn the_process_that_is_closest_to_its_limit_of_files_counts() {
    let scene = Scene::new();
    let many = Weight {
        files: 200,
        ..Weight::default()
    };
    let _far = scene.burden(many, None);
    let few = Weight {
        files: 100,
        ..Weight::default()
    };
    let mut command = Command::new("prlimit");
    command
        .arg("--nofile=128:4096")
        .arg(tools::actor().expect("it is built"))
        .args(few.arguments());
    let near_to_it = Actor::<()>::run(command, None, Some(scene.cgroup())).expect("it runs");
    let open = fs::read_dir(format!("/proc/{}/fd", near_to_it.pid()))
        .expect("it runs")
        .count();
    assert!((100..128).contains(&open), "{open}");
    let metrics = scene.agent.wait_for("its open files", |m| {
        value(m, "narrows_open_files") == Some(open as f64)
    });
    assert_eq!(value(&metrics, "narrows_open_files_limit"), Some(128.0));
    near(
        saturation(&metrics, "open_files").expect("a series"),
        open as f64 / 128.0,
        1e-9,
    );
}

#[test]
fn a_process_killed_for_want_of_memory_is_counted_with_its_group() {
    let world = World::new();
    let cgroup = Cgroup::new(&format!("{}/waypoint", world.top)).expect("a cgroup");
    let limits = Limits::new(&cgroup, None, Some(32 * MIB)).expect("limits");
    let point = Arc::new(Point {
        name: "shop/waypoint".to_owned(),
        kind: Kind::Waypoint,
        mesh: Mesh::Istio,
        instance: "waypoint".to_owned(),
    });
    let mut reader = Reader::find(&cgroup::root());
    let mut kills = || {
        let reading = reader
            .read(std::iter::once((cgroup.path(), &point)))
            .remove(&point)
            .expect("a reading");
        let own = reading.groups.into_iter().filter(|group| group.own);
        own.filter_map(|group| group.counters.oom_kills).max()
    };
    // In cgroup v1, a process shows which group that is.
    let _stays = Actor::burden(Weight::default(), &cgroup, Some(&limits)).expect("it runs");
    assert_eq!(kills(), Some(0));
    let greedy = Weight {
        memory_bytes: 128 << 20,
        ..Weight::default()
    };
    Actor::burden(greedy, &cgroup, Some(&limits)).expect_err("it is killed");
    assert_eq!(kills(), Some(1));
}

#[test]
fn a_pod_is_measured_with_the_privileges_of_the_daemon_set() {
    let node = Node::new();
    let agent = node.start(&DaemonSet::read(), &[]);
    let pod = node.cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
    let cgroup = pod.sim.cgroup("istio-proxy");
    let limits = Limits::new(cgroup, Some(0.5), Some(128 * MIB)).expect("limits");
    let weight = Weight {
        memory_bytes: 64 << 20,
        files: 100,
        ..BUSY
    };
    let mut command = Command::new(tools::actor().expect("it is built"));
    command.args(weight.arguments());
    limits.place(&mut command).expect("placed");
    let actor = Actor::<()>::run(command, pod.sim.netns(), Some(cgroup)).expect("it runs");
    let point = [
        ("point", "shop/waypoint"),
        ("instance_pod", "waypoint-6f7d9c8b5d-bbbbb"),
    ];
    let of = |metrics: &Metrics, name: &str| metrics.get(name, &point);
    let ratio = |metrics: &Metrics, resource| {
        let labels = [point[0], point[1], ("resource", resource)];
        metrics.get("narrows_saturation_ratio", &labels)
    };
    let metrics = agent.wait_for("its limits and its use", |m| {
        of(m, CPU).is_some_and(|seconds| seconds > 0.5)
            && of(m, "narrows_cpu_throttled_periods_total").is_some_and(|n| n > 0.0)
            && of(m, "narrows_memory_bytes").is_some_and(|bytes| bytes >= (64 * MIB) as f64)
            && ratio(m, "cpu").is_some_and(|ratio| ratio > 0.5)
    });
    assert_eq!(of(&metrics, "narrows_cpu_limit_cores"), Some(0.5));
    assert_eq!(of(&metrics, "narrows_memory_limit_bytes"), Some((128 * MIB) as f64));
    assert!(ratio(&metrics, "memory").is_some_and(|ratio| (0.5..1.0).contains(&ratio)));
    let open = fs::read_dir(format!("/proc/{}/fd", actor.pid()))
        .expect("it runs")
        .count() as f64;
    let expected = match metrics.get("narrows_signal_active", &[("signal", "open_files")]) {
        Some(1.0) => Some(open),
        _ => None,
    };
    assert_eq!(of(&metrics, "narrows_open_files"), expected);
    drop((actor, limits));
}

#[test]
fn what_this_node_does_not_tell_is_off_and_says_why() {
    let scene = Scene::new();
    let metrics = scene.agent.settle();
    let status = scene.agent.get_json("/api/v1/status");
    let signals = status["signals"].as_array().expect("a list");
    assert!(signals.len() >= 4, "{signals:?}");
    for signal in signals {
        let name = signal["name"].as_str().expect("a name");
        let active = signal["active"] == true;
        assert_eq!(
            metrics.get("narrows_signal_active", &[("signal", name)]),
            Some(f64::from(u8::from(active)))
        );
        assert_eq!(signal["reason"].is_null(), active, "{signal}");
    }
    // Where neither pressure nor a hierarchy of cgroup v1 is to be seen.
    let hide = "test ! -e /proc/pressure || mount -t tmpfs none /proc/pressure; \
                for mount in $(awk '$3 == \"cgroup\" { print $2 }' /proc/self/mounts); do umount $mount; done; \
                exec \"$0\" check";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-ec", hide]).arg(binary());
    let output = command::output(&mut unshare).expect("it runs");
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{table}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let row = |name: &str| {
        table
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}:\n{table}"))
    };
    assert!(
        row("pressure").contains("  off ") && row("pressure").contains("psi=1"),
        "{table}"
    );
    let controllers = fs::read_to_string(cgroup::root().join("cgroup.controllers")).expect("cgroup2");
    for (name, controller) in [("cpu_throttling", "cpu"), ("memory_limit", "memory")] {
        if controllers.split_whitespace().any(|there| there == controller) {
            assert!(row(name).contains("  ok "), "{table}");
        } else {
            assert!(
                row(name).contains("  off ") && row(name).contains("no hierarchy of cgroup v1"),
                "{table}"
            );
        }
    }
    assert!(row("open_files").contains("  ok "), "{table}");
}
