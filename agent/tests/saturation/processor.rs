//! A point that waits for a processor: because of its neighbours, or because of its own quota.

use super::{
    histogram::{Gained, octaves},
    mesh::{Mesh, POINT, UP, entry, exit},
};
use narrows_testbed::{
    actor::Actor,
    busy::Busy,
    cgroup::{self, Cgroup},
    envoy::{self, Envoy},
    limits::Limits,
    load::{Behaviour, Pace, PaceTally, ServerTally},
    process::{Child, Placement},
    wait,
};
use std::time::{Duration, Instant};

/// The proxy's processor, and that of everybody else.
const ITS: usize = 0;
const OTHER: usize = 1;

/// Requests of one round. A round is short, so that some are not disturbed by what else the machine does.
const ROUND: u64 = 600;

/// A one-worker Envoy on a processor of its own, with a steady load from the other one. Nothing else that the machine does can
/// disturb them.
struct Loaded {
    client: Actor<PaceTally>,
    server: Actor<ServerTally>,
    envoy: Envoy,
    mesh: Mesh,
}

/// What a round showed; upper bounds of buckets, in seconds.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// The client's own 99th percentile.
    client: f64,
    /// The point's.
    read: f64,
    forward: f64,
    run_queue: f64,
    by_workload: f64,
    by_system: f64,
    by_itself: f64,
    /// By the point's own quota.
    throttled_periods: f64,
    throttled_seconds: f64,
}

impl Loaded {
    fn new() -> Self {
        let mesh = Mesh::new();
        let at = |workload, core| Placement::from(workload).core(core).first();
        let server = Actor::server_at(&at(&mesh.catalog, OTHER), exit(), Behaviour::default()).expect("it listens");
        let envoy = mesh.envoy_at(&at(&mesh.waypoint, ITS), &envoy::Options::default());
        let client = Actor::steady(&at(&mesh.checkout, OTHER), &Pace::to(entry())).expect("it starts");
        Self {
            client,
            server,
            envoy,
            mesh,
        }
    }

    fn round(&mut self) -> Round {
        let (before, first) = (self.mesh.agent.settle(), self.client.tally().expect("it answers"));
        let mut last = first;
        let patience = Duration::from_secs(60);
        wait::until("a round of requests", patience, || {
            last = self.client.tally().expect("it answers");
            (last.replies >= first.replies + ROUND).then_some(())
        })
        .expect("it goes on");
        assert_eq!((last.connected, last.broken), (4, 0), "{last:?}");
        let after = self.mesh.agent.settle();
        let mut latencies = last.latencies;
        for (count, earlier) in latencies.buckets.iter_mut().zip(first.latencies.buckets) {
            *count -= earlier;
        }
        let p99 = |name, labels| Gained::between(&before, &after, name, labels).percentile(99.0);
        let gained = |name, labels: &[_]| after.sum(name, labels) - before.sum(name, labels);
        let preempted = |by| gained("narrows_preemptions_total", &[POINT[0], ("by", by)]);
        Round {
            client: latencies.percentile(99.0).expect("a round has requests"),
            read: p99("narrows_read_delay_seconds", POINT),
            // Requests, from caller to server.
            forward: p99("narrows_forward_delay_seconds", UP),
            run_queue: p99("narrows_run_queue_seconds", POINT),
            by_workload: preempted("workload"),
            by_system: preempted("system"),
            by_itself: preempted("itself"),
            throttled_periods: gained("narrows_cpu_throttled_periods_total", POINT),
            throttled_seconds: gained("narrows_cpu_throttled_seconds_total", POINT),
        }
    }

    /// How long the proxy's worker and its other threads have been running on a processor.
    fn run_time(&self) -> Duration {
        let process = procfs::process::Process::new(self.envoy.pid().cast_signed()).expect("it runs");
        let threads = process.tasks().expect("it has threads").flatten();
        threads
            .map(|thread| Duration::from_nanos(thread.schedstat().expect("the kernel tells").sum_exec_runtime))
            .sum()
    }

    fn rounds(&mut self) -> Rounds {
        let rounds = Rounds([(); 5].map(|()| self.round()));
        println!("{rounds:?}");
        rounds
    }
}

/// A few of them: now and then one is disturbed all the same.
#[derive(Debug)]
struct Rounds([Round; 5]);

impl Rounds {
    fn sorted(&self, figure: impl Fn(&Round) -> f64) -> [f64; 5] {
        let mut figures = [0, 1, 2, 3, 4].map(|n| figure(&self.0[n]));
        figures.sort_by(f64::total_cmp);
        figures
    }

    fn least(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        self.sorted(figure)[0]
    }

    fn sum(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        self.0.iter().map(figure).sum()
    }

    fn middle(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        self.sorted(figure)[2]
    }

    /// In most of these rounds, it is at least so many times what it was when nobody disturbed it.
    #[track_caller]
    fn rises(&self, alone: &Self, factor: f64, figure: impl Fn(&Round) -> f64) {
        let (now, before) = (self.middle(&figure), alone.least(&figure));
        assert!(now >= factor * before, "{now} s after {before} s");
    }

    /// It is what it was when nobody disturbed it (two buckets are chance), or nothing beside what the callers wait for.
    #[track_caller]
    fn stays(&self, alone: &Self, figure: impl Fn(&Round) -> f64) {
        let (now, before) = (self.least(&figure), alone.least(&figure));
        let client = self.middle(|round| round.client);
        let nothing = now <= 4.0 * before || now <= client / 16.0;
        assert!(nothing, "{now} s after {before} s, while callers wait {client} s");
    }
}

/// Three processes that use up a processor, and those who are to share it with them.
fn three_busy(core: usize, cgroup: &Cgroup, with: &[&Child]) -> Busy {
    for process in with {
        process.step_back().expect("it gives way");
    }
    let place = Placement::new(None, Some(cgroup)).core(core).ahead();
    Busy::at(3, &place).expect("they run")
}

#[test]
fn neighbours_on_its_processor_are_seen_as_time_before_it_reads() {
    let mut loaded = Loaded::new();
    let neighbour = Cgroup::new(&format!("{}/neighbour", loaded.mesh.world.top)).expect("a cgroup");
    let alone = loaded.rounds();
    let busy = three_busy(ITS, &neighbour, &[loaded.envoy.process()]);
    let crowded = loaded.rounds();
    drop(busy);
    // Two orders of magnitude on a machine that does nothing else.
    crowded.rises(&alone, 8.0, |round| round.read);
    crowded.rises(&alone, 8.0, |round| round.run_queue);
    crowded.stays(&alone, |round| round.forward);
    // That is what its callers wait for.
    assert!(crowded.least(|round| octaves(round.read, round.client)) <= 1.0);
    let by_workload = crowded.middle(|round| round.by_workload);
    assert!(by_workload > 0.0);
    assert!(by_workload > 4.0 * crowded.least(|round| round.by_system));
    assert!(by_workload > 4.0 * crowded.least(|round| round.by_itself));
}

#[test]
fn neighbours_of_its_callers_are_none_of_its_delay() {
    let mut loaded = Loaded::new();
    let neighbour = Cgroup::new(&format!("{}/neighbour", loaded.mesh.world.top)).expect("a cgroup");
    let alone = loaded.rounds();
    let others = [loaded.client.process(), loaded.server.process()];
    let busy = three_busy(OTHER, &neighbour, &others);
    let crowded = loaded.rounds();
    drop(busy);
    // The callers and the server wait; the point does not.
    crowded.rises(&alone, 8.0, |round| round.client);
    crowded.stays(&alone, |round| round.read);
    crowded.stays(&alone, |round| round.forward);
    crowded.stays(&alone, |round| round.run_queue);
}

#[test]
fn what_the_node_runs_itself_is_no_workload() {
    let mut loaded = Loaded::new();
    let service = Cgroup::new(&format!("system.slice/{}", cgroup::unique("narrows-test"))).expect("a cgroup");
    let busy = three_busy(ITS, &service, &[loaded.envoy.process()]);
    let crowded = loaded.round();
    drop(busy);
    println!("{crowded:?}");
    assert!(crowded.by_system > 0.0, "{crowded:?}");
    assert!(crowded.by_system > 4.0 * crowded.by_workload, "{crowded:?}");
}

#[test]
fn its_own_quota_is_nobody_elses_fault() {
    let mut loaded = Loaded::new();
    let ((began, used), alone) = ((Instant::now(), loaded.run_time()), loaded.rounds());
    let need = (loaded.run_time() - used).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("{need} of a processor");
    assert_eq!(alone.sum(|round| round.throttled_seconds), 0.0);
    // What is too little depends on the machine, so the quota is a part of what the proxy used. Half of it can be enough: a proxy
    // that is held back answers several requests each time it runs.
    let limits = Limits::new(&loaded.mesh.waypoint.cgroup, Some(need / 4.0), None).expect("limits");
    // Quotas do not apply to real-time threads.
    loaded.envoy.process().step_back().expect("it gives way");
    limits.take_in(loaded.envoy.pid()).expect("taken in");
    let held_back = loaded.rounds();
    assert!(held_back.least(|round| round.throttled_periods) > 0.0);
    assert!(held_back.least(|round| round.throttled_seconds) > 0.0);
    held_back.rises(&alone, 8.0, |round| round.run_queue);
    held_back.rises(&alone, 8.0, |round| round.read);
    held_back.stays(&alone, |round| round.forward);
    assert!(held_back.least(|round| octaves(round.read, round.client)) <= 1.0);
    // Nobody else had the processor meanwhile, but for what the machine does besides: neighbours would take a share of nearly
    // every request.
    let by_others = held_back.least(|round| round.by_workload + round.by_system);
    assert!(by_others < ROUND as f64 / 10.0, "{by_others}");
}
