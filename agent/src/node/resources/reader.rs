//! Reads the resources of all points, once per tick.

use super::{
    Group, Machine, OpenFiles, Reading, Tree, cpu,
    files::Way,
    group, memory,
    place::{Controller, Place},
    survey::{Places, Role},
    tree::{Level, allowed},
};
use crate::{node::cgroups::MOST_PROCESSES, points::Point, signals::Signal, spacing::Spacing};
use procfs::process::{MountInfo, Process};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Reads resources from the node's files.
#[derive(Debug)]
pub struct Reader {
    places: Places,
    /// How open files are counted; `None` when they cannot be.
    files: Option<Way>,
    counts_of_files: Spacing,
    signals: Vec<Signal>,
}

/// State of one reading of all points.
struct Pass {
    machine: Machine,
    groups: HashMap<(Tree, String, Role), Option<Group>>,
    /// The time spent on counting files; `None` when they are not counted this time.
    counting: Option<Duration>,
}

impl Reader {
    /// Determines what this node offers. `cgroup2` is the path where that tree is mounted.
    pub fn find(cgroup2: &Path) -> Self {
        let mounts = Process::myself().and_then(|own| own.mountinfo());
        let mounts = mounts.map(|mounts| mounts.0).unwrap_or_default();
        let proc = PathBuf::from("/proc");
        let files = Way::find(&proc.join("self"));
        Self::with(cgroup2, proc, &mounts, files)
    }

    fn with(cgroup2: &Path, proc: PathBuf, mounts: &[MountInfo], files: Way) -> Self {
        let place = |controller| Place::find(controller, cgroup2, &proc, mounts);
        let places = Places {
            cpu: place(Controller::Cpu),
            memory: place(Controller::Memory),
            cgroup2: cgroup2.to_owned(),
            proc,
        };
        let status = fs::read_to_string(places.proc.join("self/status")).unwrap_or_default();
        let allowed = files.is_allowed(&status);
        Self {
            files: allowed.is_ok().then_some(files),
            signals: signals(&places, allowed),
            places,
            counts_of_files: Spacing::new(),
        }
    }

    /// The signals, with whether and why not this node offers them.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// Reads the resources of all points that have a cgroup. Cgroups are given by their paths in the cgroup2 tree.
    pub fn read<'a>(
        &mut self,
        cgroups: impl Iterator<Item = (&'a str, &'a Arc<Point>)>,
    ) -> BTreeMap<Arc<Point>, Reading> {
        let mut points: BTreeMap<&Arc<Point>, BTreeSet<&str>> = BTreeMap::new();
        for (path, point) in cgroups {
            points.entry(point).or_default().insert(path);
        }
        let begin = Instant::now();
        let mut pass = Pass {
            machine: self.machine(),
            groups: HashMap::new(),
            counting: self.counts_of_files.is_due(begin).then_some(Duration::ZERO),
        };
        let readings = points
            .into_iter()
            .filter_map(|(point, paths)| Some((point.clone(), self.point(&paths, &mut pass)?)))
            .collect();
        if let Some(counting) = pass.counting {
            self.counts_of_files.took(begin, counting);
        }
        readings
    }

    fn machine(&self) -> Machine {
        let online = fs::read_to_string("/sys/devices/system/cpu/online").ok();
        let meminfo = fs::read_to_string(self.places.proc.join("meminfo")).ok();
        Machine {
            processors: online.and_then(|list| cpu::processors(&list)),
            memory: meminfo.and_then(|text| memory::of_machine(&text)),
        }
    }

    /// The reading of one point; `None` when none of its cgroups exists any more.
    fn point(&self, paths: &BTreeSet<&str>, pass: &mut Pass) -> Option<Reading> {
        let survey = self.places.survey(paths);
        let (cpu_tree, memory_tree) = (self.places.tree(Controller::Cpu), self.places.tree(Controller::Memory));
        let (mut cpu, mut memory) = (BTreeMap::new(), BTreeMap::new());
        let mut groups = Vec::new();
        for ((tree, path), role) in &survey.groups {
            let read = || group::read(&self.places, *tree, path, *role, pass.machine.memory);
            let group = pass.groups.entry((*tree, path.clone(), *role)).or_insert_with(read);
            let Some(group) = group.clone() else { continue };
            let level = |limit| Level {
                limit,
                holds: role.holds,
            };
            if Some(*tree) == cpu_tree {
                cpu.insert(path.as_str(), level(group.cpu_limit));
            }
            if Some(*tree) == memory_tree {
                memory.insert(path.as_str(), level(group.memory_limit.map(|limit| limit as f64)));
            }
            groups.push(group);
        }
        // The groups may have been removed since the survey.
        groups.iter().find(|group| group.own)?;
        let processes: Vec<_> = survey
            .pids
            .iter()
            .take(MOST_PROCESSES)
            .map(|pid| self.places.proc.join(pid.to_string()))
            .collect();
        let own = groups
            .iter()
            .filter(|group| group.own && Some(group.id.tree) == memory_tree);
        let charged: Option<u64> = own.map(|group| group.memory).sum();
        Some(Reading {
            at: Instant::now(),
            cpu_limit: allowed(&cpu),
            memory: charged.filter(|_| survey.memory_is_own).or_else(|| held(&processes)),
            memory_limit: allowed(&memory).map(|limit| limit as u64),
            files: self.open_files(&processes, pass),
            machine: pass.machine,
            groups,
        })
    }

    fn open_files(&self, processes: &[PathBuf], pass: &mut Pass) -> OpenFiles {
        let Some(counting) = &mut pass.counting else {
            return OpenFiles::AsBefore;
        };
        let Some(way) = self.files else {
            return OpenFiles::Unknown;
        };
        let begin = Instant::now();
        let all = processes.iter().filter_map(|process| way.read(process));
        let closest = all.max_by(|one, other| one.share().total_cmp(&other.share()));
        *counting += begin.elapsed();
        closest.map_or(OpenFiles::Unknown, OpenFiles::Closest)
    }
}

/// The sum of the memory of these processes, in bytes. `None` when none exists.
fn held(processes: &[PathBuf]) -> Option<u64> {
    let status = |process: &PathBuf| memory::of_process(&fs::read_to_string(process.join("status")).ok()?);
    let all: Vec<_> = processes.iter().filter_map(status).collect();
    (!all.is_empty()).then(|| all.iter().sum())
}

fn signals(places: &Places, files: Result<(), String>) -> Vec<Signal> {
    let there = |place: &Place| match place {
        Place::Off(reason) => Err(reason.clone()),
        Place::Unified | Place::Old(_) => Ok(()),
    };
    let pressure = match fs::read_to_string(places.proc.join("pressure/cpu")) {
        Ok(_) => Ok(()),
        Err(_) => Err(
            "this kernel does not measure it: it needs CONFIG_PSI and, where that is off by default, psi=1 on its command line"
                .to_owned(),
        ),
    };
    vec![
        Signal::new(
            "cpu_throttling",
            "CPU limits, throttled time and periods",
            there(&places.cpu),
        ),
        Signal::new(
            "memory_limit",
            "memory limits, OOM kills, memory in use (without it, the sum over the processes)",
            there(&places.memory),
        ),
        Signal::new("pressure", "pressure of CPU and memory (PSI)", pressure),
        Signal::new("open_files", "open files and their limit", files),
    ]
}

#[cfg(test)]
mod tests;
