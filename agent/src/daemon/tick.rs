//! One tick: sample, read, attribute, sum up, publish.

mod succession;

use super::{drains, inside::InsideWatch, inventory_file::InventoryFile};
use crate::{
    api::ClusterStatus,
    clock::{self, BootClock},
    config::{Config, Scope},
    export::{Identity, Reported, Snapshot, Tick},
    failures::{Intake, Patience, Ring, Untold},
    histogram::Histogram,
    identity::{Observer, Question, Span, kubernetes::Kubernetes},
    kernel::{self, Kernel, Reading},
    metrics::{DetailPolicy, Series},
    model::{self, Bounds, Exclusions, Model, Moment, PointLoad, rows},
    node::resources::Reader,
    points::Kind,
};
use agent_common::{ListenerSample, Loss};
use std::{
    collections::HashSet,
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// The state of the tick thread.
pub struct Ticker {
    kernel: Kernel,
    observer: Observer,
    inventory: InventoryFile,
    cluster: Option<Kubernetes>,
    model: Model,
    inside: InsideWatch,
    resources: Reader,
    intake: Intake,
    before: i64,
    flows_limit: usize,
    ticks: u64,
    tick_seconds: Histogram,
    lost: Vec<(Loss, u64)>,
    /// The cumulative series of previous agents.
    former: Option<Arc<Series>>,
    /// When the state is due to be stored again.
    next_state: Instant,
    /// Why the state could not be stored the last time.
    state_error: Option<String>,
    details: DetailPolicy,
}

impl Ticker {
    /// A ticker that has not run yet.
    pub fn new(
        config: &Config,
        kernel: Kernel,
        observer: Observer,
        inventory: InventoryFile,
        cluster: Option<Kubernetes>,
        failures: Arc<Ring>,
    ) -> Self {
        let patience = cluster.as_ref().map(|cluster| Patience {
            this_node_only: cluster.scope == Scope::Node,
        });
        // An inventory is complete at once, so there is nothing to wait for.
        let in_a_cluster = |time: Duration| if cluster.is_some() { time } else { Duration::ZERO };
        let mut ticker = Self {
            kernel,
            resources: Reader::find(observer.cgroups().mount()),
            observer,
            inventory,
            inside: InsideWatch::new(),
            before: clock::now(),
            model: Model::new(
                Bounds {
                    dependents: config.limits.dependents,
                    points: config.limits.points,
                    pairs: config.limits.pairs,
                    window: config.dependency_window,
                    wait: in_a_cluster(config.identity.wait),
                    settle: in_a_cluster(config.identity.settle),
                    waiting: config.limits.waiting,
                    this_node_only: patience.is_some_and(|patience| patience.this_node_only),
                },
                Exclusions {
                    own: config.bypass.exclude.clone(),
                    duties: config.bypass.exclude_infrastructure,
                },
            ),
            intake: Intake::new(failures, config.limits.failure_events, patience),
            cluster,
            flows_limit: config.limits.flows as usize,
            ticks: 0,
            tick_seconds: Histogram::default(),
            lost: Vec::new(),
            former: None,
            next_state: Instant::now(),
            state_error: None,
            details: DetailPolicy::new(config.metrics.detail, &config.metrics.kinds, config.metrics.sidecars),
        };
        ticker.recall();
        ticker
    }

    /// Runs one tick, and returns the resulting snapshot. When the kernel returns an error, the previous results stay, and the
    /// snapshot reports it. `None` when the snapshot must not be published, as the state could not be stored for the next agent.
    pub fn tick(&mut self) -> Option<Snapshot> {
        let begin = Instant::now();
        let now = clock::now();
        let beat = self.kernel.beat();
        if let Some(inventory) = self.inventory.changed() {
            self.observer.set_inventory(inventory);
        }
        let observer = &mut self.observer;
        self.kernel.cgroups(|change| observer.cgroup(&change));
        let told = self.kernel.tells_cgroups() && self.all_cgroup_events_came();
        self.observer.refresh(now, told);
        let error = beat
            .and_then(|()| self.read(begin))
            .err()
            .map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            tracing::error!("{error}");
        }
        self.model.expire(begin);
        let cgroups = self.observer.owners().points();
        let readings = self.resources.read(cgroups.map(|(_, path, point)| (path, point)));
        self.model.resources(&readings);
        self.ticks += 1;
        self.tick_seconds.observe(begin.elapsed());
        if let Some(former) = &mut self.former {
            let points: HashSet<_> = self.model.points().map(|load| load.point.name.as_str()).collect();
            let window = self.model.window();
            // The previous snapshot shares it, so it is copied before the change.
            if former.is_outdated(now, window, &points) {
                Arc::make_mut(former).forget(now, window, &points);
            }
        }
        self.limit_sidecars();
        let mut snapshot = self.snapshot(begin, error);
        // Before it is published: the next agent continues from no less than was published. Otherwise a counter would decrease,
        // which Prometheus takes for a restart at 0.
        let is_shown = self.keep(&snapshot);
        snapshot.signals.push(self.takeover());
        is_shown.then_some(snapshot)
    }

    /// Exports less about sidecars when there are many on this node, and says so once.
    fn limit_sidecars(&mut self) {
        let is_sidecar = |load: &&PointLoad| load.local && load.point.kind == Kind::Sidecar;
        let sidecars = self.model.points().filter(is_sidecar).count();
        if self.details.limit_sidecars(sidecars) {
            tracing::info!(
                sidecars,
                "more sidecars than metrics.sidecars on this node: their metrics are minimal until the agent ends \
                 (metrics.kinds: {{ sidecar: full }} exports all)"
            );
        }
    }

    /// Processes the failures that the kernel has reported; called between ticks. Identities are brought up to date first: a cgroup
    /// may be newer than the last tick. Returns whether there may be more failures.
    pub fn failures(&mut self) -> bool {
        let observer = &mut self.observer;
        self.kernel.cgroups(|change| observer.cgroup(&change));
        observer.catch_up();
        self.drain()
    }

    fn drain(&mut self) -> bool {
        let (clock, now) = (BootClock::now(), Instant::now());
        let directory = self.observer.directory();
        let intake = &mut self.intake;
        let more = self
            .kernel
            .drain(|event| intake.take(event, clock.millis(event.time_ns), &directory, now));
        drop(directory);
        self.observer.answer(self.intake.take_questions());
        self.intake.settle(&self.observer.final_directory(), now);
        more
    }

    /// Whether the kernel continues to count when this agent ends.
    pub fn is_lasting(&self) -> bool {
        self.kernel.is_lasting().is_ok()
    }

    /// Whether failures wait for an identity.
    pub fn failures_wait(&self) -> bool {
        self.intake.waits()
    }

    /// Becomes readable when the kernel has reported a failure.
    pub fn failures_ready(&self) -> BorrowedFd<'_> {
        self.kernel.failures_ready()
    }

    /// Processes the last failures at the end of the agent.
    pub fn close(mut self) {
        self.next_state = Instant::now();
        self.tick();
        // The kernel's ring buffer does not hold more than these.
        const ROUNDS: usize = 4;
        let _all = (0..ROUNDS).all(|_| self.failures());
        self.intake.close();
    }

    /// Whether no cgroup event was lost since the last tick.
    fn all_cgroup_events_came(&mut self) -> bool {
        let lost = |all: &[(Loss, u64)]| {
            all.iter()
                .find(|(what, _)| *what == Loss::CgroupEvents)
                .map(|(_, n)| *n)
        };
        let before = lost(&self.lost);
        if let Ok(now) = self.kernel.loss() {
            self.lost = now;
        }
        before.unwrap_or(0) == lost(&self.lost).unwrap_or(0)
    }

    fn read(&mut self, now: Instant) -> anyhow::Result<()> {
        let span = Span {
            from: self.before,
            to: clock::now(),
        };
        self.before = span.to;
        let when = Moment { at: now, span };
        let listeners = self
            .inside
            .look(&mut self.kernel, &self.observer, &mut self.model, now)?;
        self.look_around(&listeners, now);
        let read = self.count(&listeners, when);
        if read.is_ok() {
            self.model.end_recall();
        }
        self.inside.conclude(&mut self.kernel, &mut self.model)?;
        self.observer.answer(self.model.take_questions());
        // Points that were recognized only now.
        let points = self.observer.owners().points().map(|(_, _, point)| point);
        self.model.local_points(points, now);
        self.settle(when)?;
        let paths = self.kernel.paths()?;
        self.model.paths(paths, &self.observer.final_directory(), when);
        drains::look(&mut self.kernel, &self.observer, &mut self.model, span.to)?;
        self.drain();
        // After the failures: how many are missing is known once they are read.
        let lost = |which| {
            let mut all = self.lost.iter().filter(|(what, _)| *what == which);
            all.next().map_or(0, |(_, n)| *n)
        };
        self.intake.ring().set_untold(Untold {
            rate_limited: lost(Loss::FailureEventsLimited),
            ring_full: lost(Loss::FailureEventsDropped),
        });
        // What was read is counted, even if reading ended with an error.
        read
    }

    /// Updates the model's places: network namespaces, points and listeners. Listeners are inspected first, as they do not wait.
    fn look_around(&mut self, listeners: &[ListenerSample], now: Instant) {
        let sockets = listeners.iter().map(|sample| Question {
            cgroup: sample.cgroup,
            netns: sample.netns,
        });
        self.observer.look_at(sockets);
        let directory = self.observer.directory();
        let points = self.observer.owners().points();
        self.model.look_around(
            directory.neighbourhoods(),
            directory.zone_egress(),
            points.map(|(cgroup, _, point)| (cgroup, point)),
            now,
        );
    }

    /// Processes listeners and flows, with the identities known at this moment.
    fn count(&mut self, listeners: &[ListenerSample], when: Moment) -> anyhow::Result<()> {
        let (model, directory) = (&mut self.model, self.observer.directory());
        model.listeners(listeners, &directory, when);
        self.kernel.collect(|key, reading| match reading {
            Reading::Now(flow) => model.flow(key, flow, false, &directory, when),
            Reading::Gone(flow) => model.flow(key, flow, true, &directory, when),
        })
    }

    /// Counts what has waited, with what the observer has found by now.
    fn settle(&mut self, when: Moment) -> anyhow::Result<()> {
        // Read after the flows: a connection opened without detail was counted as such before its end.
        self.lost = self.kernel.loss()?;
        let without_detail = [Loss::FlowDetail, Loss::FlowQuota];
        let detail = (self.lost.iter()).all(|(what, n)| !without_detail.contains(what) || *n == 0);
        let directory = self.observer.final_directory();
        self.model.unseen_flows(detail, &directory, when);
        self.model.settle(&directory, when.at);
        Ok(())
    }

    fn snapshot(&self, now: Instant, error: Option<String>) -> Snapshot {
        Snapshot {
            tick: Tick {
                number: self.ticks,
                time: self.before,
                interval: Default::default(),
                seconds: self.tick_seconds.clone(),
                error,
            },
            points: rows::points(&self.model, now),
            drains: self.model.draining().to_vec(),
            called: self.model.called().clone().into_iter().collect(),
            boundary: rows::boundary(&self.model, now),
            model: model::Status::of(&self.model),
            kernel: kernel::Status::of(&self.kernel, &self.lost, self.flows_limit),
            identity: self.identity(),
            failures: Reported {
                number: self.intake.ring().next() - 1,
                kept: self.intake.ring().table(),
            },
            signals: self.resources.signals().to_vec(),
            before: self.former.clone(),
            rates: Default::default(),
            details: self.details.details(),
        }
    }

    fn identity(&self) -> Identity {
        let cluster = self.cluster.as_ref();
        Identity {
            inventory: self.inventory.status(self.observer.missing()),
            cluster: cluster.map(|cluster| ClusterStatus::of(cluster, &cluster.shared.directory(), clock::now())),
            cgroups: self.observer.owners().table(),
            unrecognized_cgroup: self.observer.unrecognized().map(str::to_owned),
        }
    }
}
