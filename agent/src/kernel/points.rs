//! Kernel counters that are kept for points only: the agent sets the cgroups and threads of points.

use super::{
    bpf::BatchReader,
    control::Controls,
    object::{descriptor, processors, take},
};
use crate::signals;
use agent_common::{Backlog, Control, Count, PointCounters, Tally, Task};
use anyhow::Context;
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, PerCpuHashMap, PerCpuValues},
};
use std::{
    collections::HashSet,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

/// Upper bound for cgroups of points in the maps.
const MOST_CGROUPS: usize = 4_096;

/// Upper bound for rejected processes that are remembered, so that each is counted once.
const REMEMBERED: usize = 100_000;

/// A process of a point.
#[derive(Clone, Debug)]
pub struct PointProcess {
    /// The process id (tgid) in the initial pid namespace.
    pub process: u32,
    /// The ids of its threads.
    pub threads: Vec<u32>,
    /// Whether it is a main process of the point: one that no other process of the point has started.
    pub main: bool,
}

/// The maps of the programs that concern points.
pub struct PointMaps {
    counters: PerCpuHashMap<MapData, u64, PointCounters>,
    backlog: HashMap<MapData, u64, Backlog>,
    mains: HashMap<MapData, u64, u64>,
    tasks: HashMap<MapData, u32, Task>,
    tasks_fd: OwnedFd,
    reader: BatchReader<u32, Task>,
    /// The counters of signals with many label values, in the order of [`signals::TALLIES`].
    tallies: Vec<HashMap<MapData, Tally, u64>>,
    cgroups: HashSet<u64>,
    /// Rejected cgroups and processes, for as long as they are requested.
    without_room: (HashSet<u64>, HashSet<u32>),
    /// Number of rejected cgroups and processes.
    rejected: (u64, u64),
    processors: usize,
}

/// Turns a missing key into `None`.
fn absent<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Number of retries when memory is short, and the time between them. More in tests, whose machines may not get to it for seconds.
const TRIES: u32 = if cfg!(test) { 20_000 } else { 200 };
const PAUSE: Duration = Duration::from_millis(1);

/// Inserts an entry into a map that allocates as it grows. The kernel has a small pool for that, which it refills a moment later
/// (`kernel/bpf/memalloc.c`), so many insertions in a row may find it empty. `false` when there is still no memory after the
/// retries.
fn retry_on_enomem(mut insert: impl FnMut() -> Result<(), MapError>) -> Result<bool, MapError> {
    for _ in 0..TRIES {
        match insert() {
            Ok(()) => return Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOMEM) => {
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

impl PointMaps {
    /// Takes the maps out of the object.
    ///
    /// # Errors
    /// When one is missing.
    pub(super) fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let counters: PerCpuHashMap<MapData, u64, PointCounters> = PerCpuHashMap::try_from(take(ebpf, "POINTS")?)?;
        // The previous agent may have registered some.
        let cgroups = counters
            .keys()
            .collect::<Result<_, _>>()
            .context("the points' counters cannot be read")?;
        let tasks = take(ebpf, "TASKS")?;
        Ok(Self {
            counters,
            backlog: HashMap::try_from(take(ebpf, "BACKLOG")?)?,
            mains: HashMap::try_from(take(ebpf, "MAINS")?)?,
            tasks_fd: descriptor(&tasks)?,
            tasks: HashMap::try_from(tasks)?,
            reader: BatchReader::new(Task::ZERO),
            tallies: (signals::TALLIES.iter())
                .map(|table| Ok(HashMap::try_from(take(ebpf, table.map)?)?))
                .collect::<anyhow::Result<_>>()?,
            cgroups,
            without_room: Default::default(),
            rejected: (0, 0),
            processors: processors()?,
        })
    }

    /// Sets the cgroups of points, and returns the new ones: see [`super::Kernel::set_points`].
    pub(super) fn set(&mut self, cgroups: &HashSet<u64>, controls: &mut Controls) -> anyhow::Result<Vec<u64>> {
        let gone: Vec<u64> = self.cgroups.difference(cgroups).copied().collect();
        for cgroup in &gone {
            absent(self.counters.remove(cgroup)).context("a point's counters cannot be taken out")?;
            absent(self.backlog.remove(cgroup)).context("a point's backlog cannot be taken out")?;
            absent(self.mains.remove(cgroup)).context("a point's processes cannot be taken out")?;
        }
        if !gone.is_empty() {
            self.forget(&gone)?;
        }
        self.cgroups.retain(|cgroup| cgroups.contains(cgroup));
        self.without_room.0.retain(|cgroup| cgroups.contains(cgroup));
        let mut new = Vec::new();
        for cgroup in cgroups {
            if self.cgroups.contains(cgroup) {
                // Reset for the next walk.
                self.backlog
                    .insert(cgroup, Backlog::ZERO, 0)
                    .context("a point's backlog cannot be set")?;
            } else if self.add(*cgroup)? {
                self.cgroups.insert(*cgroup);
                new.push(*cgroup);
            } else if self.without_room.0.insert(*cgroup) {
                self.rejected.0 += 1;
            }
        }
        controls.set(Control::PointsAreHere, !cgroups.is_empty())?;
        Ok(new)
    }

    /// Adds a cgroup; `false` when there is no room for it.
    fn add(&mut self, cgroup: u64) -> anyhow::Result<bool> {
        if self.cgroups.len() >= MOST_CGROUPS {
            return Ok(false);
        }
        let backlog = retry_on_enomem(|| self.backlog.insert(cgroup, Backlog::ZERO, 0));
        let mains = retry_on_enomem(|| self.mains.insert(cgroup, 0, 0));
        let there = backlog.context("a point's backlog cannot be set")?
            && mains.context("a point's processes cannot be set")?;
        // Last: a cgroup in this map is assumed to be complete.
        let counters = there.then(|| {
            retry_on_enomem(|| {
                let zero = PerCpuValues::try_from(vec![PointCounters::ZERO; self.processors])?;
                self.counters.insert(cgroup, zero, 0)
            })
        });
        Ok(counters.transpose().context("a point's counters cannot be set")? == Some(true))
    }

    /// Whether there are points on this node.
    pub(super) fn are_there(&self) -> bool {
        !self.cgroups.is_empty()
    }

    /// Number of cgroups and processes rejected so far.
    pub(super) fn rejected(&self) -> (u64, u64) {
        self.rejected
    }

    /// Deletes the threads and the tallies of cgroups that are gone.
    fn forget(&mut self, gone: &[u64]) -> anyhow::Result<()> {
        let threads: Vec<u32> = (self.tasks.iter().flatten())
            .filter(|(_, task)| gone.contains(&task.cgroup))
            .map(|(number, _)| number)
            .collect();
        for number in threads {
            absent(self.tasks.remove(&number)).context("a point's thread cannot be taken out")?;
        }
        for table in &mut self.tallies {
            let keys: Vec<Tally> = (table.keys().flatten())
                .filter(|key| gone.contains(&key.point))
                .collect();
            for key in keys {
                absent(table.remove(&key)).context("a point's tallies cannot be taken out")?;
            }
        }
        Ok(())
    }

    /// Whether a thread is known as a point's.
    pub fn knows(&self, thread: u32) -> bool {
        self.tasks.get(&thread, 0).is_ok()
    }

    /// The threads that are known as points', by their ids. Without points none are, and nothing is read.
    ///
    /// # Errors
    /// The system call's error.
    pub fn tasks(&mut self) -> anyhow::Result<Vec<(u32, Task)>> {
        let mut all = Vec::new();
        if !self.are_there() {
            return Ok(all);
        }
        self.reader
            .read(self.tasks_fd.as_fd(), |thread, task| all.push((*thread, *task)))
            .context("the points' threads cannot be read")?;
        Ok(all)
    }

    /// The ids of all threads that are known as points'.
    pub(super) fn threads(&self) -> impl Iterator<Item = u32> {
        self.tasks.keys().flatten()
    }

    /// Registers a process of a point's cgroup whose start the programs have not seen, and marks its threads. One that does not fit
    /// is counted as lost. Returns whether it has become a main process: not when a program has registered it meanwhile, which has
    /// counted its start then.
    ///
    /// # Errors
    /// The system call's error.
    pub(super) fn enlist(&mut self, cgroup: u64, process: &PointProcess) -> anyhow::Result<bool> {
        let mut main = false;
        for thread in &process.threads {
            let task = Task {
                cgroup,
                process: process.process,
                flags: if process.main { Task::MAIN } else { 0 },
                ..Task::ZERO
            };
            // Do not overwrite one that a program has registered meanwhile.
            const NOEXIST: u64 = 1;
            let told = retry_on_enomem(|| self.tasks.insert(thread, task, NOEXIST));
            if !matches!(told, Ok(true)) && !self.knows(*thread) {
                if self.without_room.1.len() >= REMEMBERED {
                    self.without_room.1.clear();
                }
                self.rejected.1 += u64::from(self.without_room.1.insert(process.process));
                return Ok(false);
            }
            // The entry of the first thread decides between this and the program that sees an `exec`.
            main |= *thread == process.process && process.main && matches!(told, Ok(true));
        }
        if main {
            // It may have ended by now, which the program has subtracted.
            let mains = self.mains(cgroup).wrapping_add(1);
            self.mains
                .insert(cgroup, mains, 0)
                .context("a point's processes cannot be set")?;
        }
        Ok(main)
    }

    /// Number of running main processes of the point.
    pub fn mains(&self, cgroup: u64) -> u64 {
        self.mains.get(&cgroup, 0).unwrap_or(0)
    }

    /// The counters of a cgroup since it belongs to a point, summed over all CPUs.
    ///
    /// # Errors
    /// The system call's error.
    pub fn counters(&self, cgroup: u64) -> anyhow::Result<PointCounters> {
        let each = absent(self.counters.get(&cgroup, 0)).context("a point's counters cannot be read")?;
        let mut sum = PointCounters::ZERO;
        for one in each.iter().flat_map(|each| each.iter()) {
            sum = sum.plus(*one);
        }
        Ok(sum)
    }

    /// What the last walk of the sampler found at the sockets of a cgroup.
    ///
    /// # Errors
    /// The system call's error.
    pub fn backlog(&self, cgroup: u64) -> anyhow::Result<Backlog> {
        let found = absent(self.backlog.get(&cgroup, 0)).context("a point's backlog cannot be read")?;
        Ok(found.unwrap_or(Backlog::ZERO))
    }

    /// The counters of signals with many label values, in the order of [`signals::TALLIES`].
    pub fn tallies(&self) -> impl Iterator<Item = Vec<(Tally, u64)>> {
        self.tallies.iter().map(|table| table.iter().flatten().collect())
    }
}
