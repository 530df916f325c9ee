//! Finds the groups of a point, and those above it, in each hierarchy.

use super::{
    Tree,
    place::{Controller, Hierarchy, Place},
    tree::{ancestors, topmost},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The limit of groups of a point that are inspected, including those below its own.
const MOST_GROUPS: usize = 64;

/// The limit of processes of a point that are distinguished from those of other owners.
const MOST_MEMBERS: usize = 4_096;

/// The file system paths and controllers of this node.
#[derive(Debug)]
pub struct Places {
    /// The path where the cgroup2 tree is mounted.
    pub cgroup2: PathBuf,
    /// The path of `/proc`.
    pub proc: PathBuf,
    /// Where the cpu controller is.
    pub cpu: Place,
    /// Where the memory controller is.
    pub memory: Place,
}

/// The relation of a group to a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Role {
    /// It contains the point only, and is not below another such group.
    pub own: bool,
    /// Processes of the point are directly in it.
    pub holds: bool,
}

/// The groups of a point, those above them, and the point's processes.
#[derive(Debug, Default)]
pub struct Survey {
    /// The groups, by hierarchy and path.
    pub groups: BTreeMap<(Tree, String), Role>,
    /// The processes of the point.
    pub pids: Vec<i32>,
    /// Whether every process is in a group that contains the point only, in the hierarchy with the memory controller.
    pub memory_is_own: bool,
}

/// A cgroup2 group with processes directly in it.
struct Home {
    path: String,
    pids: Vec<i32>,
}

impl Places {
    /// The hierarchy that a controller is in.
    pub fn tree(&self, controller: Controller) -> Option<Tree> {
        match (controller, self.place(controller)) {
            (_, Place::Unified) => Some(Tree::Unified),
            (Controller::Cpu, Place::Old(_)) => Some(Tree::OldCpu),
            (Controller::Memory, Place::Old(_)) => Some(Tree::OldMemory),
            (_, Place::Off(_)) => None,
        }
    }

    fn place(&self, controller: Controller) -> &Place {
        match controller {
            Controller::Cpu => &self.cpu,
            Controller::Memory => &self.memory,
        }
    }

    /// The directory of a group. `None` in a hierarchy that does not exist on this node.
    pub fn directory(&self, tree: Tree, path: &str) -> Option<PathBuf> {
        let place = match tree {
            Tree::Unified => return Some(self.cgroup2.join(path.trim_start_matches('/'))),
            Tree::OldCpu => &self.cpu,
            Tree::OldMemory => &self.memory,
        };
        match place {
            Place::Old(hierarchy) => Some(hierarchy.directory(path)),
            _ => None,
        }
    }

    /// Surveys the point that consists of these groups of the cgroup2 tree.
    pub fn survey(&self, paths: &BTreeSet<&str>) -> Survey {
        let tops = topmost(paths);
        let homes = self.homes(&tops);
        let mut survey = Survey {
            pids: homes.iter().flat_map(|home| home.pids.iter().copied()).collect(),
            memory_is_own: self.memory == Place::Unified,
            ..Survey::default()
        };
        for top in tops {
            survey.group(Tree::Unified, top).own = true;
        }
        if [&self.cpu, &self.memory].contains(&&Place::Unified) {
            for path in paths {
                survey.climb(Tree::Unified, path);
            }
            for home in &homes {
                survey.climb(Tree::Unified, &home.path);
                survey.group(Tree::Unified, &home.path).holds = true;
            }
        }
        if let Place::Old(hierarchy) = &self.cpu {
            for path in homes
                .iter()
                .filter_map(|home| self.old_path(hierarchy, Controller::Cpu, home))
            {
                survey.climb(Tree::OldCpu, &path);
                survey.group(Tree::OldCpu, &path).holds = true;
            }
        }
        if let Place::Old(hierarchy) = &self.memory {
            self.old_memory(hierarchy, &homes, &mut survey);
        }
        survey
    }

    /// The groups with processes, at and below these.
    fn homes(&self, tops: &[&str]) -> Vec<Home> {
        let mut open: VecDeque<String> = tops.iter().map(|top| (*top).to_owned()).collect();
        let (mut homes, mut groups, mut members) = (Vec::new(), 0, 0);
        while let Some(path) = open.pop_front() {
            groups += 1;
            if groups > MOST_GROUPS {
                break;
            }
            let directory = self.cgroup2.join(path.trim_start_matches('/'));
            let mut pids = pids_in(&directory);
            pids.truncate(MOST_MEMBERS - members);
            members += pids.len();
            open.extend(children(&directory).map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
            if !pids.is_empty() {
                homes.push(Home { path, pids });
            }
        }
        homes
    }

    /// The cgroup v1 group of the processes of a cgroup2 group, by the first live one. `None` for the root.
    fn old_path(&self, hierarchy: &Hierarchy, controller: Controller, home: &Home) -> Option<String> {
        let text = |pid: &i32| fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).ok();
        let text = home.pids.iter().find_map(text)?;
        hierarchy.path(controller, &text).filter(|path| path != "/")
    }

    fn old_memory(&self, hierarchy: &Hierarchy, homes: &[Home], survey: &mut Survey) {
        let members: HashSet<i32> = survey.pids.iter().copied().collect();
        // Container runtimes and systemd give a group the same path in all hierarchies. If it differs, other owners may be in it.
        let alone = |path: &str, home: &Home| {
            let directory = hierarchy.directory(path);
            path == home.path
                || (children(&directory).next().is_none()
                    && pids_in(&directory).iter().all(|pid| members.contains(pid)))
        };
        survey.memory_is_own = !homes.is_empty();
        let mut own = BTreeSet::new();
        for home in homes {
            let Some(path) = self.old_path(hierarchy, Controller::Memory, home) else {
                survey.memory_is_own = false;
                continue;
            };
            survey.climb(Tree::OldMemory, &path);
            survey.group(Tree::OldMemory, &path).holds = true;
            if alone(&path, home) {
                own.insert(path);
            } else {
                survey.memory_is_own = false;
            }
        }
        for path in topmost(&own.iter().map(String::as_str).collect()) {
            survey.group(Tree::OldMemory, path).own = true;
        }
    }
}

impl Survey {
    fn group(&mut self, tree: Tree, path: &str) -> &mut Role {
        self.groups.entry((tree, path.to_owned())).or_default()
    }

    fn climb(&mut self, tree: Tree, path: &str) {
        for path in ancestors(path) {
            self.group(tree, path);
        }
    }
}

fn pids_in(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process that is not visible in this process's PID namespace.
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter(|pid| *pid > 0).collect()
}

/// The names of the groups directly below a group.
fn children(directory: &Path) -> impl Iterator<Item = String> {
    // Most groups have none; the directory of a cgroup has one hard link more for each.
    let none = fs::metadata(directory).is_ok_and(|metadata| metadata.nlink() == 2);
    let entries = (!none).then(|| fs::read_dir(directory).ok()).flatten();
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
}
