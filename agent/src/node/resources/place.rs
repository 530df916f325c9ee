//! Finds the controllers: in the cgroup2 tree, or each in a hierarchy of cgroup v1.

use procfs::process::MountInfo;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A controller of cgroup v1 or cgroup2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Controller {
    /// CPU time and its quota.
    Cpu,
    /// Memory and its limit.
    Memory,
}

impl Controller {
    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// Where a controller is on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the cgroup2 tree.
    Unified,
    /// In a hierarchy of cgroup v1.
    Old(Hierarchy),
    /// Not visible to this process, with the reason.
    Off(String),
}

/// A hierarchy of cgroup v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The path where its root is mounted.
    pub mount: PathBuf,
    /// The group that paths in `/proc/<pid>/cgroup` are relative to: the root, unless this process has a cgroup namespace of its
    /// own.
    base: Vec<String>,
}

impl Place {
    /// Finds a controller. `cgroup2` is the path where that tree is mounted, `proc` that of `/proc`.
    pub fn find(controller: Controller, cgroup2: &Path, proc: &Path, mounts: &[MountInfo]) -> Self {
        let name = controller.name();
        let there = fs::read_to_string(cgroup2.join("cgroup.controllers")).unwrap_or_default();
        if there.split_whitespace().any(|there| there == name) {
            return Self::Unified;
        }
        let mut mounts = mounts
            .iter()
            .filter(|mount| mount.fs_type == "cgroup" && mount.super_options.contains_key(name))
            .peekable();
        if mounts.peek().is_none() {
            return Self::Off(format!(
                "cgroup2 does not have the {name} controller here, and no hierarchy of cgroup v1 that has it is mounted"
            ));
        }
        mounts
            .find_map(|mount| Hierarchy::at(controller, mount, proc))
            .map_or_else(
                || {
                    Self::Off(format!(
                        "only a part of the {name} hierarchy of cgroup v1 is mounted: mount the node's /sys/fs/cgroup into the \
                         container"
                    ))
                },
                Self::Old,
            )
    }
}

impl Hierarchy {
    /// The hierarchy that is mounted there, if it is mounted as a whole.
    fn at(controller: Controller, mount: &MountInfo, proc: &Path) -> Option<Self> {
        // The root of the mount is given relative to this process's cgroup namespace: `/`, or `/../..` when the namespace begins
        // two groups below the root.
        let mut depth = 0;
        for step in steps(&mount.root) {
            if step != ".." {
                return None;
            }
            depth += 1;
        }
        let directory = mount.mount_point.clone();
        let mut base = Vec::new();
        if depth > 0 {
            // The name of the namespace's group is not given. But it is the group at that depth which contains this process.
            let own = path_in(controller, &fs::read_to_string(proc.join("self/cgroup")).ok()?)?;
            let pid = std::process::id().to_string();
            base = search(&directory, depth, &mut base, &|group| {
                let members = own
                    .iter()
                    .fold(group.to_owned(), |at, step| at.join(step))
                    .join("cgroup.procs");
                fs::read_to_string(members).is_ok_and(|text| text.lines().any(|line| line == pid))
            })?;
        }
        Some(Self { mount: directory, base })
    }

    /// The path of a process's group below the root (with a leading slash), from the text of its `/proc/<pid>/cgroup`. `None` if it
    /// is in no group, or has exited.
    pub fn path(&self, controller: Controller, text: &str) -> Option<String> {
        let mut at = self.base.clone();
        for step in path_in(controller, text)? {
            if step == ".." {
                at.pop()?;
            } else {
                at.push(step);
            }
        }
        Some(format!("/{}", at.join("/")))
    }

    /// The directory of a group, given its path.
    pub fn directory(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }
}

/// The path of the group with this controller, in `/proc/<pid>/cgroup`: `4:memory:/a/b`.
fn path_in(controller: Controller, text: &str) -> Option<Vec<String>> {
    let path = text.lines().find_map(|line| {
        let mut columns = line.splitn(3, ':').skip(1);
        let mut controllers = columns.next()?.split(',');
        let path = columns.next()?;
        controllers.any(|name| name == controller.name()).then_some(path)
    })?;
    Some(steps(path).map(str::to_owned).collect())
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|step| !step.is_empty())
}

/// The names on the path to the first group, at the given depth below `directory`, for which the condition holds.
fn search(
    directory: &Path,
    depth: usize,
    way: &mut Vec<String>,
    holds: &impl Fn(&Path) -> bool,
) -> Option<Vec<String>> {
    if depth == 0 {
        return holds(directory).then(|| way.clone());
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            way.push(name);
            let found = search(&entry.path(), depth - 1, way, holds);
            way.pop();
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, place: &Path, options: &str) -> MountInfo {
        let line = format!("36 35 0:30 {root} {} rw - cgroup cgroup rw,{options}", place.display());
        MountInfo::from_line(&line).expect("a line of mountinfo")
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn cgroup2_comes_first_then_v1_and_otherwise_there_is_a_reason() {
        let node = tempfile::tempdir().expect("a directory");
        let (cgroup2, old) = (node.path().join("unified"), node.path().join("cpu,cpuacct"));
        write(&cgroup2.join("cgroup.controllers"), "memory pids\n");
        let mounts = [mount("/", &old, "cpu,cpuacct")];
        let find = |controller, mounts: &[MountInfo]| Place::find(controller, &cgroup2, node.path(), mounts);
        assert_eq!(find(Controller::Memory, &mounts), Place::Unified);
        let Place::Old(hierarchy) = find(Controller::Cpu, &mounts) else {
            panic!("it is in cgroup v1")
        };
        assert_eq!(hierarchy.directory("/a/b"), old.join("a/b"));
        let Place::Off(reason) = find(Controller::Cpu, &[]) else {
            panic!("it is nowhere")
        };
        assert!(reason.contains("cpu controller"), "{reason}");
        let Place::Off(reason) = find(Controller::Cpu, &[mount("/a", &old, "cpu,cpuacct")]) else {
            panic!("its root is not to be seen")
        };
        assert!(reason.contains("only a part"), "{reason}");
    }

    #[test]
    fn a_process_is_in_a_group_of_each_hierarchy() {
        let hierarchy = Hierarchy {
            mount: "/sys/fs/cgroup/cpu".into(),
            base: Vec::new(),
        };
        let text = "4:memory:/a:b/c\n3:cpu,cpuacct:/x\n2:name=systemd:/s\n0::/u\n";
        assert_eq!(hierarchy.path(Controller::Memory, text).as_deref(), Some("/a:b/c"));
        assert_eq!(hierarchy.path(Controller::Cpu, text).as_deref(), Some("/x"));
        assert_eq!(hierarchy.path(Controller::Cpu, "0::/u\n"), None);
        assert_eq!(hierarchy.path(Controller::Cpu, "3:cpu:/\n").as_deref(), Some("/"));
    }

    /// As in a container whose runtime gave it a cgroup namespace.
    #[test]
    fn in_a_namespace_paths_count_from_the_own_group() {
        let node = tempfile::tempdir().expect("a directory");
        let (memory, proc) = (node.path().join("memory"), node.path().join("proc"));
        write(&memory.join("pods/one/cgroup.procs"), "77\n");
        write(&memory.join("pods/two/cgroup.procs"), "");
        write(
            &memory.join("pods/two/inner/cgroup.procs"),
            &format!("1\n{}\n", std::process::id()),
        );
        write(&proc.join("self/cgroup"), "4:memory:/inner\n0::/\n");
        let mounts = [mount("/../..", &memory, "memory")];
        let Place::Old(hierarchy) = Place::find(Controller::Memory, node.path(), &proc, &mounts) else {
            panic!("it is found")
        };
        assert_eq!(hierarchy.base, ["pods", "two"]);
        let path = |text: &str| hierarchy.path(Controller::Memory, text);
        assert_eq!(path("4:memory:/../one\n").as_deref(), Some("/pods/one"));
        assert_eq!(path("4:memory:/../..\n").as_deref(), Some("/"));
        assert_eq!(path("4:memory:/\n").as_deref(), Some("/pods/two"));
        assert_eq!(path("4:memory:/../../..\n"), None, "above the root");
    }
}
