//! Measures inside points: tells the kernel which cgroups and threads are theirs, and reads what it has counted for them.

use super::threads::ThreadWatch;
use crate::{
    identity::{Endpoint, Observer},
    kernel::{Kernel, PointProcess},
    model::Model,
    node,
    points::Point,
    signals::{Culprit, Meaning, TALLIES, processes},
};
use agent_common::{Count, ListenerSample, PointCounters, Tally};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A connection that waits longer than this for `accept` is considered stuck.
const STUCK: Duration = Duration::from_secs(1);

/// After so many ticks without anything stuck, failed accepts are no longer watched.
const CALM: u32 = 3;

/// Cgroups of services of the node itself, as laid out by systemd.
const SYSTEM: [&str; 2] = ["/system.slice", "/init.scope"];

/// The state of the measurements inside points.
pub struct InsideWatch {
    /// By cgroup: its point, and the counters when they were last read.
    points: HashMap<u64, (Arc<Point>, PointCounters)>,
    /// The tables of signals when they were last read, in the order of [`TALLIES`].
    tallies: [HashMap<Tally, u64>; TALLIES.len()],
    /// Counters of previous agents for cgroups that this agent has not met yet.
    recalled: HashMap<u64, PointCounters>,
    /// The processes in the points' cgroups.
    processes: Vec<u32>,
    /// How many there are of each point.
    running: HashMap<Arc<Point>, usize>,
    /// Ticks since something was last stuck; `None` while failed accepts are not watched.
    calm: Option<u32>,
    threads: ThreadWatch,
    /// Time since boot, in clock ticks, when the agent started: only processes started later count as starts.
    began: Option<u64>,
}

impl InsideWatch {
    /// A state in which no point has been seen.
    pub fn new() -> Self {
        Self {
            points: HashMap::new(),
            tallies: Default::default(),
            recalled: HashMap::new(),
            processes: Vec::new(),
            running: HashMap::new(),
            calm: None,
            threads: ThreadWatch::default(),
            began: node::facts(std::process::id()).map(|facts| facts.began),
        }
    }

    /// The counters so far, by cgroup.
    pub fn counted(&self) -> Vec<(u64, PointCounters)> {
        self.points.iter().map(|(id, (_, counters))| (*id, *counters)).collect()
    }

    /// The tables of signals so far.
    pub fn tallied(&self) -> Vec<Vec<(Tally, u64)>> {
        let tables = self.tallies.iter();
        tables
            .map(|table| table.iter().map(|(key, count)| (*key, *count)).collect())
            .collect()
    }

    /// Restores the counters of the previous agent.
    pub fn recall(&mut self, points: Vec<(u64, PointCounters)>, tallies: Vec<Vec<(Tally, u64)>>) {
        self.recalled.extend(points);
        for (table, before) in self.tallies.iter_mut().zip(tallies) {
            table.extend(before);
        }
    }

    /// Inspects all points: registers new points in the kernel and removes gone ones, walks open files, and adds what was counted
    /// since the last time. Returns the listeners that the walk has found. To be called before flows are read.
    ///
    /// # Errors
    /// A system call's error.
    pub fn look(
        &mut self,
        kernel: &mut Kernel,
        observer: &Observer,
        model: &mut Model,
        now: Instant,
    ) -> anyhow::Result<Vec<ListenerSample>> {
        self.before(kernel, observer, model)?;
        let listeners = kernel.sample(self.processes.iter().copied())?;
        let points = observer.owners().points().map(|(_, _, point)| point);
        model.local_points(points, now);
        model.processes(&self.running);
        self.after(kernel, observer, model)?;
        Ok(listeners)
    }

    /// Before the walk over open files: registers new points in the kernel and removes gone ones. The final counters of the latter
    /// are read before.
    ///
    /// # Errors
    /// The system call's error.
    fn before(&mut self, kernel: &mut Kernel, observer: &Observer, model: &mut Model) -> anyhow::Result<()> {
        let now: HashMap<u64, (&str, &Arc<Point>)> = observer
            .owners()
            .points()
            .map(|(id, path, point)| (id, (path, point)))
            .collect();
        let gone: Vec<u64> = (self.points.keys().copied())
            .filter(|id| !now.contains_key(id))
            .collect();
        self.count_tallies(kernel, observer, model);
        for id in gone {
            self.count(id, kernel, model)?;
            self.points.remove(&id);
            for table in &mut self.tallies {
                table.retain(|key, _| key.point != id);
            }
        }
        let new = kernel.set_points(&now.keys().copied().collect())?;
        self.processes.clear();
        self.running.clear();
        for (id, (path, point)) in now {
            let recalled = &mut self.recalled;
            let last = (self.points.entry(id)).or_insert_with(|| {
                let counted = recalled.remove(&id).unwrap_or(PointCounters::ZERO);
                (point.clone(), counted)
            });
            // It may have become another point: a new inventory, another program in the same cgroup.
            last.0.clone_from(point);
            let pids = observer.cgroups().pids(path);
            self.enlist(id, &pids, point, new.contains(&id), kernel, model)?;
            if !pids.is_empty() {
                *self.running.entry(point.clone()).or_default() += pids.len();
            }
            self.processes.extend(pids);
        }
        Ok(())
    }

    /// Registers processes whose start the kernel's programs have not seen: those that existed when the point was recognized, and
    /// those that were moved into its cgroup later without executing a program.
    fn enlist(
        &self,
        id: u64,
        pids: &[u32],
        point: &Arc<Point>,
        new: bool,
        kernel: &mut Kernel,
        model: &mut Model,
    ) -> anyhow::Result<()> {
        // Threads can be forgotten only when their exits are seen.
        if !kernel.is_active(&processes::EXIT) {
            return Ok(());
        }
        let unknown: Vec<_> = (pids.iter().copied())
            .filter(|pid| !kernel.points().knows(*pid))
            .filter_map(|pid| Some((pid, node::facts(pid)?)))
            .collect();
        // The oldest process that no other one of the point has started; only when none is registered yet.
        let main = (unknown.iter())
            .filter(|(_, facts)| !pids.contains(&facts.parent))
            .min_by_key(|(pid, facts)| (facts.began, *pid))
            .filter(|_| kernel.points().mains(id) == 0);
        let mut is_main = false;
        for (process, facts) in &unknown {
            is_main |= kernel.enlist(
                id,
                &PointProcess {
                    process: *process,
                    threads: facts.threads.clone(),
                    main: main.is_some_and(|(main, _)| main == process),
                },
            )?;
        }
        // In a cgroup that was known before, it has started just now: between its entering the cgroup and its exec, which the
        // kernel's programs would have reported. In a new cgroup it may be older than the agent.
        let started = main.is_some_and(|(_, facts)| !new || self.began.is_some_and(|began| facts.began > began));
        if is_main
            && started
            && let Some(inside) = model.inside(point)
        {
            inside.processes.starts += 1;
        }
        Ok(())
    }

    /// After the walk over open files: adds what has been counted since the last time.
    ///
    /// # Errors
    /// The system call's error.
    fn after(&mut self, kernel: &mut Kernel, observer: &Observer, model: &mut Model) -> anyhow::Result<()> {
        model.look_inside();
        let ids: Vec<u64> = self.points.keys().copied().collect();
        for id in ids {
            self.count(id, kernel, model)?;
            let found = kernel.points().backlog(id)?;
            if let Some((point, _)) = self.points.get(&id)
                && let Some(inside) = model.inside(point)
            {
                inside.sockets.find(&found);
            }
        }
        self.count_tallies(kernel, observer, model);
        let points = &self.points;
        self.threads
            .look(kernel, model, |cgroup| points.get(&cgroup).map(|(point, _)| point))
    }

    /// After flows and listeners were processed: counts ports in use, and watches failed accepts while connections are stuck.
    ///
    /// # Errors
    /// The system call's error.
    pub fn conclude(&mut self, kernel: &mut Kernel, model: &mut Model) -> anyhow::Result<()> {
        model.count_ports(|cgroup| self.points.get(&cgroup).map(|(point, _)| point));
        self.calm = match self.calm {
            _ if model.accepts_are_stuck(STUCK) => Some(0),
            Some(calm) if calm < CALM => Some(calm + 1),
            _ => None,
        };
        kernel.watch_accept(self.calm.is_some())
    }

    fn count(&mut self, id: u64, kernel: &mut Kernel, model: &mut Model) -> anyhow::Result<()> {
        let Some((point, last)) = self.points.get_mut(&id) else {
            return Ok(());
        };
        let now = kernel.points().counters(id)?;
        if let Some(inside) = model.inside(point) {
            inside.add(&now.since(*last));
        }
        *last = now;
        Ok(())
    }

    fn count_tallies(&mut self, kernel: &mut Kernel, observer: &Observer, model: &mut Model) {
        let tables: Vec<_> = kernel.points().tallies().collect();
        for ((table, last), now) in TALLIES.into_iter().zip(&mut self.tallies).zip(tables) {
            for (key, count) in now {
                let Some((point, _)) = self.points.get(&key.point) else {
                    continue;
                };
                let new = count.saturating_sub(last.insert(key, count).unwrap_or(0));
                if let Some(inside) = model.inside(point) {
                    let meaning = Meaning {
                        culprit: &|cgroup| culprit(cgroup, point, observer),
                        enumerator: &|enumeration, value| kernel.enumerator(enumeration, value),
                    };
                    (table.add)(inside, key.what, new, &meaning);
                }
            }
        }
    }
}

/// The relation of a cgroup to a point whose thread had to wait for it.
fn culprit(by: u64, point: &Arc<Point>, observer: &Observer) -> Culprit {
    let owners = observer.owners();
    // 0 is the kernel, and the root cgroup has the processes that were put into no other.
    if by == 0 || owners.is_root(by) {
        return Culprit::System;
    }
    let is_system = |path: &str| SYSTEM.iter().any(|system| path.starts_with(system));
    match owners.endpoint(by) {
        Some(Endpoint::Point(other)) if other == *point => Culprit::Itself,
        Some(Endpoint::Node) => Culprit::System,
        _ if owners.get(by).is_some_and(|cgroup| is_system(&cgroup.path)) => Culprit::System,
        _ => Culprit::Workload,
    }
}
