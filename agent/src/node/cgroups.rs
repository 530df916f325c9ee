//! The cgroup2 tree: paths to ids and back, and the processes in a cgroup.

use crate::points::Process;
use anyhow::Context;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The id of the root of the whole hierarchy (`KERNFS_ROOT_INO`).
const ROOT: u64 = 1;

/// The limit of cgroups that are visited when the tree is read: far more than any node has.
const MOST_CGROUPS: usize = 100_000;

/// The limit of processes of a cgroup that are inspected to recognise it, and of a point for its resources.
pub(super) const MOST_PROCESSES: usize = 64;

/// The cgroup2 hierarchy, by the path where it is mounted.
#[derive(Debug)]
pub struct Cgroups {
    mount: PathBuf,
    root: u64,
}

impl Cgroups {
    /// Finds where cgroup2 is mounted; on a hybrid system that is not `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// When it is not mounted.
    pub fn find() -> anyhow::Result<Self> {
        let mounts = procfs::mounts().context("cannot read /proc/self/mounts")?;
        let id = |directory: &Path| fs::metadata(directory).map(|metadata| metadata.ino());
        let mounts = mounts
            .into_iter()
            .filter(|mount| mount.fs_vfstype == "cgroup2")
            .map(|mount| PathBuf::from(mount.fs_file))
            // A mount that is covered by another one is still listed.
            .filter(|mount| statfs(mount).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC));
        // In a container there may be two: the container's own, which begins at its own cgroup, and the node's.
        let mount = mounts
            .max_by_key(|mount| id(mount).is_ok_and(|id| id == ROOT))
            .context(
                "cgroup2 is not mounted, so sockets cannot be told apart by their owner: \
             mount it (mount -t cgroup2 none /sys/fs/cgroup/unified) and start again",
            )?;
        let root = id(&mount).with_context(|| format!("cannot read {}", mount.display()))?;
        Ok(Self { mount, root })
    }

    /// The path where it is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// Whether the mount shows the whole tree, and not only the part below some cgroup.
    pub fn is_whole(&self) -> bool {
        self.root == ROOT
    }

    /// The id of the root cgroup, which has all processes that were not moved elsewhere.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The id of the cgroup at `path` below the root (with a leading slash); `None` when there is none.
    pub fn id(&self, path: &str) -> Option<u64> {
        let metadata = fs::metadata(self.directory(path)).ok()?;
        metadata.is_dir().then(|| metadata.ino())
    }

    /// The paths below the root of all cgroups, by id.
    pub fn paths(&self) -> HashMap<u64, String> {
        let mut found = HashMap::new();
        let mut open = vec![self.mount.clone()];
        while let Some(directory) = open.pop() {
            if let Ok(metadata) = fs::metadata(&directory)
                && let Ok(path) = directory.strip_prefix(&self.mount)
            {
                found.insert(metadata.ino(), format!("/{}", path.display()));
            }
            if found.len() >= MOST_CGROUPS {
                break;
            }
            // A cgroup that is removed meanwhile is left out.
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(entry.path());
                }
            }
        }
        found
    }

    /// The processes directly in the cgroup at `path`.
    pub fn processes(&self, path: &str) -> Vec<Process> {
        let Ok(text) = fs::read_to_string(self.directory(path).join("cgroup.procs")) else {
            return Vec::new();
        };
        let pids = text.lines().filter_map(|line| line.parse().ok()).take(MOST_PROCESSES);
        pids.filter_map(process).collect()
    }

    /// The ids of the processes directly in the cgroup at `path`.
    pub fn pids(&self, path: &str) -> Vec<u32> {
        let text = fs::read_to_string(self.directory(path).join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The network namespace of the processes in the cgroup at `path`, if all are in the same one.
    pub fn netns(&self, path: &str) -> Option<u32> {
        let text = fs::read_to_string(self.directory(path).join("cgroup.procs")).ok()?;
        let mut found = text
            .lines()
            .take(MOST_PROCESSES)
            .filter_map(|pid| super::netns_inode(&Path::new("/proc").join(pid).join("ns/net")));
        let first = found.next()?;
        found.all(|netns| netns == first).then_some(first)
    }

    /// The lowest memory limit, in bytes, of this process's cgroup and of those above it; `None` when there is none,
    /// or in a cgroup namespace of its own, where the process does not know its path in the tree.
    pub fn own_memory_limit(&self) -> Option<u64> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let limit = |path: &Path| {
            let text = fs::read_to_string(self.directory(path.to_str()?).join("memory.max")).ok()?;
            text.trim().parse().ok()
        };
        Path::new(path).ancestors().filter_map(limit).min()
    }

    fn directory(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }
}

fn process(pid: i32) -> Option<Process> {
    let process = procfs::process::Process::new(pid).ok()?;
    let executable = process.exe().ok()?;
    let executable = executable.file_name()?.to_string_lossy();
    // The file was replaced after the process started, as in an update.
    let executable = executable.trim_end_matches(" (deleted)").to_owned();
    let arguments = process.cmdline().ok()?.into_iter().skip(1).collect();
    Some(Process { executable, arguments })
}
