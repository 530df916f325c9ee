//! Limits of CPU time and memory for the processes in a cgroup.
//!
//! Where the cgroup2 hierarchy has the controllers, the cgroup itself gets the limits. On hybrid systems the hierarchies of cgroup
//! v1 have them: then a group with the same path is created there, to which processes must be moved as well.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::{self, Cgroup};
use crate::sync::lock;
use crate::wait;

/// The period of the CFS quota, in microseconds (the kernel's default).
const PERIOD: u64 = 100_000;

/// How long processes may take to leave a group.
const EMPTY: Duration = Duration::from_secs(5);

/// Held while groups of cgroup v1 are created or removed, so that no thread creates a child of a group that is being removed.
static CHANGING: Mutex<()> = Mutex::new(());

/// Limits of a cgroup; removed when the guard is dropped. Drop it after the processes, and before the cgroup.
#[derive(Debug)]
pub struct Limits {
    /// Files of the cgroup, and the text that means no limit in each.
    lift: Vec<(PathBuf, &'static str)>,
    /// Groups of cgroup v1.
    old: Vec<OldGroup>,
}

#[derive(Debug)]
struct OldGroup {
    mount: PathBuf,
    directory: PathBuf,
    /// The group to which remaining processes are moved: that of this process.
    home: PathBuf,
}

impl Limits {
    /// Limits the cgroup to a number of CPUs (e.g. `0.05`) and to bytes of memory, without swap.
    pub fn new(cgroup: &Cgroup, processors: Option<f64>, memory: Option<u64>) -> Result<Self> {
        let mut limits = Self {
            lift: Vec::new(),
            old: Vec::new(),
        };
        if let Some(processors) = processors {
            limits.cpu(cgroup, (processors * PERIOD as f64) as u64)?;
        }
        if let Some(bytes) = memory {
            limits.memory(cgroup, bytes)?;
        }
        Ok(limits)
    }

    /// Makes `command` start within the limits. It must also be placed in the cgroup, with [`Cgroup::spawn`] or otherwise.
    pub fn place(&self, command: &mut Command) -> Result<()> {
        for group in &self.old {
            let members = group.directory.join("cgroup.procs");
            let members = OpenOptions::new()
                .write(true)
                .open(&members)
                .with_context(|| format!("open {}", members.display()))?;
            // SAFETY: one system call between fork and exec, with a file that was opened before.
            unsafe { command.pre_exec(move || (&members).write_all(b"0")) };
        }
        Ok(())
    }

    /// Moves a running process, which must be in the cgroup already, within the limits.
    pub fn take_in(&self, pid: u32) -> Result<()> {
        self.old
            .iter()
            .try_for_each(|group| write(&group.directory.join("cgroup.procs"), &pid.to_string()))
    }

    fn cpu(&mut self, cgroup: &Cgroup, quota: u64) -> Result<()> {
        if enable("cpu", cgroup)? {
            return self.set(cgroup, "cpu.max", &format!("{quota} {PERIOD}"), "max");
        }
        let group = self.old("cpu", cgroup)?;
        write(&group.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
        write(&group.join("cpu.cfs_quota_us"), &quota.to_string())
    }

    fn memory(&mut self, cgroup: &Cgroup, bytes: u64) -> Result<()> {
        if enable("memory", cgroup)? {
            // Kernels can be built without swap.
            if cgroup.directory().join("memory.swap.max").exists() {
                self.set(cgroup, "memory.swap.max", "0", "max")?;
            }
            return self.set(cgroup, "memory.max", &bytes.to_string(), "max");
        }
        let group = self.old("memory", cgroup)?;
        write(&group.join("memory.limit_in_bytes"), &bytes.to_string())?;
        // The limit of memory plus swap; the file does not exist where the kernel does not count swap.
        let together = group.join("memory.memsw.limit_in_bytes");
        if together.exists() {
            return write(&together, &bytes.to_string());
        }
        write(&group.join("memory.swappiness"), "0")
    }

    fn set(&mut self, cgroup: &Cgroup, file: &str, value: &str, none: &'static str) -> Result<()> {
        let file = cgroup.directory().join(file);
        write(&file, value)?;
        self.lift.push((file, none));
        Ok(())
    }

    /// Creates the group in a hierarchy of cgroup v1.
    fn old(&mut self, controller: &str, cgroup: &Cgroup) -> Result<PathBuf> {
        let Some(mount) = hierarchies().remove(controller) else {
            bail!("this system has the {controller} controller neither in cgroup2 nor in cgroup v1");
        };
        let directory = inside(&mount, cgroup.path());
        let home = inside(&mount, &own_group(controller)?);
        let _changing = lock(&CHANGING);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        self.old.push(OldGroup {
            mount,
            directory: directory.clone(),
            home,
        });
        Ok(directory)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for (file, none) in &self.lift {
            let _gone_with_its_cgroup = fs::write(file, none);
        }
        for group in &self.old {
            let _changing = lock(&CHANGING);
            let what = format!("{} to be empty", group.directory.display());
            let _stays = wait::until(&what, EMPTY, || {
                for pid in members(&group.directory) {
                    let _ended = fs::write(group.home.join("cgroup.procs"), pid.to_string());
                }
                gone(fs::remove_dir(&group.directory))
            });
            // A parent with other children is kept: it is removed with its last child.
            let parents = group.directory.ancestors().skip(1);
            for parent in parents.take_while(|parent| *parent != group.mount) {
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
    }
}

/// Removes the group `top` of every hierarchy of cgroup v1 with all groups below it, and kills their processes.
pub fn remove_trees(top: &str) {
    for mount in hierarchies().values() {
        remove_tree(&inside(mount, top));
    }
}

fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let what = format!("{} to be empty", directory.display());
    let _stays = wait::until(&what, EMPTY, || {
        for pid in members(directory) {
            let _ended = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        gone(fs::remove_dir(directory))
    });
}

fn members(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn gone(removed: io::Result<()>) -> Option<()> {
    match removed {
        Ok(()) => Some(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(()),
        Err(_) => None,
    }
}

/// Enables a controller for the cgroup, and returns whether the hierarchy has it. It stays enabled in the root, as other processes
/// may use it.
fn enable(controller: &str, cgroup: &Cgroup) -> Result<bool> {
    let root = cgroup::root();
    let available = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if !available.split_whitespace().any(|name| name == controller) {
        return Ok(false);
    }
    let mut parents: Vec<_> = cgroup.directory().ancestors().skip(1).collect();
    parents.retain(|parent| parent.starts_with(&root));
    for parent in parents.iter().rev() {
        write(&parent.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(true)
}

/// Where the hierarchies of cgroup v1 are mounted, by controller.
pub fn hierarchies() -> HashMap<String, PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = HashMap::new();
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        if let [_, place, "cgroup", options, ..] = fields[..] {
            for option in options.split(',') {
                found.entry(option.to_owned()).or_insert_with(|| PathBuf::from(place));
            }
        }
    }
    // Options of mounts in general, which are not controllers.
    for option in ["rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec"] {
        found.remove(option);
    }
    found
}

/// The group of this process, in the hierarchy of cgroup v1 with a controller.
fn own_group(controller: &str) -> Result<String> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let group = groups.lines().find_map(|line| {
        let mut columns = line.splitn(3, ':').skip(1);
        let mut controllers = columns.next()?.split(',');
        let path = columns.next()?;
        controllers.any(|name| name == controller).then_some(path)
    });
    Ok(group
        .context("a mounted hierarchy has a line for every process")?
        .to_owned())
}

fn inside(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_matches('/'))
}

fn write(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).with_context(|| format!("write {value:?} to {}", file.display()))
}
