//! What a point has used so far, and how full its resources are now.
//!
//! The counters of a cgroup begin and end with it, and a restarted container has a new one. So each cgroup is compared with its own
//! last reading, and the differences are added up: the sums never decrease. What was used between the last reading and a cgroup's
//! end is missing from them.

use super::saturation::{self, of_processors, share};
use crate::node::resources::{Bandwidth, Counters, Files, Group, GroupId, OpenFiles, Pressure, Reading, Tree};
use std::{
    collections::HashMap,
    ops::Add,
    time::{Duration, Instant},
};

/// How long a cgroup that is missing in a reading is remembered, in case it reappears.
const REMEMBERED: Duration = Duration::from_secs(120);

/// The times of two readings are known with this accuracy.
const SLACK: Duration = Duration::from_millis(100);

/// The state as of the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// CPUs that it may use. `None` when it may use all of the machine's.
    pub cpu_limit: Option<f64>,
    /// Its working set in bytes.
    pub memory: Option<u64>,
    /// Bytes that it may use. `None` when it may use all of the machine's.
    pub memory_limit: Option<u64>,
    /// Open files of the process that is closest to its limit.
    pub files: Option<Files>,
    /// CPU time used since the previous reading.
    pub ran: Option<Duration>,
    /// CPU time used, as a share of what it could have used.
    pub cpu_use: Option<f64>,
    /// Share of the periods in which the quota was used up, of those in which it wanted to run.
    pub throttled: Option<f64>,
    /// Memory in use, as a share of the limit.
    pub memory_use: Option<f64>,
}

/// The resources of a point. What this node does not provide is `None`.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// CPU time used so far, in user and kernel mode.
    pub cpu: Option<Duration>,
    /// Throttling by a quota: at each tick that of the cgroup with the most, where several have a quota.
    pub throttling: Option<Bandwidth>,
    /// Time that it waited for a CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Time that it waited for memory.
    pub memory_pressure: Option<Pressure>,
    /// Processes in its cgroups that the kernel's OOM killer ended.
    pub oom_kills: Option<u64>,
    /// The state as of the last reading; empty while it does not run here.
    pub now: Now,
    last: HashMap<GroupId, (Counters, Instant)>,
    read: Option<Instant>,
}

impl Resources {
    /// Adds a reading to the sums.
    pub fn advance(&mut self, reading: &Reading) {
        let elapsed = self.read.map(|read| reading.at.saturating_duration_since(read));
        self.read = Some(reading.at);
        let processors = reading.machine.processors.map(|n| n as f64);
        let capacity = elapsed.zip(processors).map(|(elapsed, n)| (elapsed + SLACK).mul_f64(n));
        let delta = |group: &Group| (group.clone(), self.difference(group, reading.at, capacity));
        let deltas: Vec<_> = reading.groups.iter().map(delta).collect();
        self.last
            .retain(|_, (_, seen)| reading.at.saturating_duration_since(*seen) < REMEMBERED);

        let own = || deltas.iter().filter(|(group, _)| group.own).map(|(_, delta)| delta);
        let ran = own().filter_map(|delta| delta.used).reduce(Duration::add);
        add(&mut self.cpu, ran);
        add(
            &mut self.oom_kills,
            own().filter_map(|delta| delta.oom_kills).reduce(u64::add),
        );
        // Sibling cgroups wait at the same time.
        add(
            &mut self.cpu_pressure,
            own().filter_map(|delta| delta.cpu_pressure).reduce(longer),
        );
        add(
            &mut self.memory_pressure,
            own().filter_map(|delta| delta.memory_pressure).reduce(longer),
        );
        let bandwidths = || deltas.iter().filter_map(|(_, delta)| delta.bandwidth);
        add(
            &mut self.throttling,
            bandwidths().max_by_key(|bandwidth| (bandwidth.throttled, bandwidth.periods)),
        );

        let memory_limit = reading
            .memory_limit
            .filter(|limit| reading.machine.memory.is_none_or(|machine| *limit < machine));
        let limited = reading
            .groups
            .iter()
            .filter_map(|group| group.memory.zip(group.memory_limit));
        self.now = Now {
            cpu_limit: reading
                .cpu_limit
                .filter(|limit| processors.is_none_or(|processors| *limit < processors)),
            memory: reading.memory,
            memory_limit,
            files: match reading.files {
                OpenFiles::Closest(files) => Some(files),
                OpenFiles::Unknown => None,
                OpenFiles::AsBefore => self.now.files,
            },
            ran: ran.filter(|_| elapsed.is_some()),
            cpu_use: elapsed.and_then(|elapsed| cpu_use(&deltas, ran, elapsed, processors)),
            throttled: bandwidths()
                .filter_map(|it| share(it.throttled_periods as f64, it.periods as f64))
                .reduce(f64::max),
            memory_use: saturation::memory(limited, reading.memory, reading.machine.memory),
        };
    }

    /// Records that it does not run here now.
    pub fn rest(&mut self) {
        self.now = Now::default();
    }

    /// `narrows_saturation_ratio` of the CPU. `waited` is how long its threads waited for a CPU since the previous reading, where
    /// that is known.
    pub fn cpu_saturation(&self, waited: Option<Duration>) -> Option<f64> {
        let waiting = waited
            .zip(self.now.ran)
            .and_then(|(waited, ran)| saturation::waiting(waited, ran));
        saturation::cpu(self.now.cpu_use, self.now.throttled, waiting)
    }

    /// The change of a cgroup's counters since its last reading. What it counted before its first reading belongs to the point if
    /// it can have been counted since the point's last reading: then the cgroup is new. With the first reading of the point,
    /// counting begins.
    fn difference(&mut self, group: &Group, at: Instant, capacity: Option<Duration>) -> Counters {
        let now = group.counters;
        let last = match self.last.insert(group.id, (now, at)) {
            Some((last, _)) => last,
            None if capacity.is_some_and(|capacity| longest(&now) <= capacity) => Counters::default(),
            None => now,
        };
        since(&now, &last)
    }
}

/// The longest duration among a cgroup's counters.
fn longest(counters: &Counters) -> Duration {
    let pressures = [counters.cpu_pressure, counters.memory_pressure].into_iter().flatten();
    let times = [counters.used, counters.bandwidth.map(|bandwidth| bandwidth.throttled)];
    let times = times
        .into_iter()
        .flatten()
        .chain(pressures.map(|pressure| pressure.some));
    times.max().unwrap_or_default()
}

fn since(now: &Counters, last: &Counters) -> Counters {
    let pressure = |now: Option<Pressure>, last: Option<Pressure>| {
        let (now, last) = (now?, last.unwrap_or_default());
        Some(Pressure {
            some: now.some.saturating_sub(last.some),
            full: now.full.saturating_sub(last.full),
        })
    };
    let (bandwidth, before) = (now.bandwidth, last.bandwidth.unwrap_or_default());
    Counters {
        used: now.used.map(|used| used.saturating_sub(last.used.unwrap_or_default())),
        bandwidth: bandwidth.map(|bandwidth| Bandwidth {
            periods: bandwidth.periods.saturating_sub(before.periods),
            throttled_periods: bandwidth.throttled_periods.saturating_sub(before.throttled_periods),
            throttled: bandwidth.throttled.saturating_sub(before.throttled),
        }),
        cpu_pressure: pressure(now.cpu_pressure, last.cpu_pressure),
        memory_pressure: pressure(now.memory_pressure, last.memory_pressure),
        oom_kills: now
            .oom_kills
            .map(|kills| kills.saturating_sub(last.oom_kills.unwrap_or_default())),
    }
}

/// The usage of each cgroup with a limit, as a share of that limit; the greatest of these; without any limit, the point's own usage
/// as a share of the machine's CPUs.
fn cpu_use(
    deltas: &[(Group, Counters)],
    ran: Option<Duration>,
    elapsed: Duration,
    processors: Option<f64>,
) -> Option<f64> {
    // In cgroup v1, the group with the quota does not always report its usage. It is no less than that of the point, if all of the
    // point is in it.
    let alone = deltas
        .iter()
        .filter(|(group, _)| group.own && group.id.tree == Tree::Unified)
        .count()
        == 1;
    let limited = deltas.iter().filter_map(|(group, delta)| {
        let limit = group.cpu_limit?;
        let used = delta.used.or(ran.filter(|_| alone))?;
        of_processors(
            used,
            elapsed,
            processors.map_or(limit, |processors| limit.min(processors)),
        )
    });
    let limited = limited.reduce(f64::max);
    limited.or_else(|| of_processors(ran?, elapsed, processors?))
}

fn longer(one: Pressure, other: Pressure) -> Pressure {
    Pressure {
        some: one.some.max(other.some),
        full: one.full.max(other.full),
    }
}

fn add<T: Add<Output = T> + Default + Copy>(sum: &mut Option<T>, more: Option<T>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default() + more);
    }
}

#[cfg(test)]
mod tests;
