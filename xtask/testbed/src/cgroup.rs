//! Control groups of the cgroup2 hierarchy, and entering them.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result};

use crate::isolation::require_root;
use crate::sync::lock;
use crate::{fork, wait};

/// How long killed processes may take to leave their cgroup.
const EMPTY: Duration = Duration::from_secs(5);

/// Directories that this process created; also locked while directories are created or removed, so that no thread creates a child
/// of a directory that is being removed.
static MADE: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// The mount point of the cgroup2 hierarchy (on hybrid systems not `/sys/fs/cgroup` itself).
pub fn root() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut cgroup2 = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(place))
        });
        cgroup2
            .next()
            .expect("a mounted cgroup2 hierarchy, see /proc/self/mounts")
    })
    .clone()
}

/// A top-level name that no other process uses: `<prefix>-<pid>-<n>`.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The directory of the cgroup that this process was in at the first call.
pub(crate) fn home() -> PathBuf {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| current().expect("this process is in a cgroup2 group"))
        .clone()
}

fn current() -> io::Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    Ok(root().join(path))
}

/// A cgroup; when the guard is dropped, all its processes are killed and it is removed.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    directory: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Creates the cgroup `path` (`top/leaf`) below the root of the hierarchy, with missing parents.
    pub fn new(path: &str) -> Result<Self> {
        require_root()?;
        home();
        let path = path.trim_matches('/');
        let directory = root().join(path);
        let mut made = made();
        let mut parents: Vec<&Path> = directory.ancestors().take_while(|at| *at != root()).collect();
        parents.reverse();
        for parent in parents {
            match fs::create_dir(parent) {
                Ok(()) => {
                    made.get_or_insert_default().insert(parent.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && parent != directory => {}
                Err(error) => return Err(error).with_context(|| format!("make cgroup {}", parent.display())),
            }
        }
        // The inode of the directory is the id that the kernel calls `cgroup->kn->id`.
        let id = fs::metadata(&directory)?.ino();
        Ok(Self {
            path: format!("/{path}"),
            directory,
            id,
        })
    }

    /// The path below the root of the hierarchy, as an inventory names it: `/top/leaf`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The id of the cgroup in the kernel.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The directory in the file system.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs `work` while this whole process is in the cgroup, then moves it back. Of the processes that the testbed starts
    /// meanwhile, only those that belong to the cgroup are still in it when this returns.
    ///
    /// A socket belongs to the cgroup in which it was created, and an accepted one to that of its listener, so sockets
    /// that `work` creates keep this owner. One thread at a time: do not nest calls.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        let _turn = Turn::take();
        let before = current().expect("this process is in a cgroup2 group");
        move_here(&self.directory).expect("root may move its own process into a cgroup that it created");
        let _back = Back(before);
        work()
    }

    /// The ids of the processes in it.
    pub fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.directory);
        let mut made = made();
        let made = made.get_or_insert_default();
        made.remove(&self.directory);
        for parent in self.directory.ancestors().skip(1) {
            // A parent with other children is kept: it is removed with its last child.
            if !made.contains(parent) || fs::remove_dir(parent).is_err() {
                break;
            }
            made.remove(parent);
        }
    }
}

/// Kills all processes in a cgroup directory, waits a bounded time until it is empty, and removes it.
pub fn remove(directory: &Path) {
    let _gone = fs::write(directory.join("cgroup.kill"), "1");
    let what = format!("cgroup {} to be empty", directory.display());
    let _stays = wait::until(&what, EMPTY, || match fs::remove_dir(directory) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(()),
        Err(_) => None,
    });
}

/// Removes a cgroup directory with all cgroups below it.
pub fn remove_tree(directory: &Path) {
    remove_children(directory);
    remove(directory);
}

/// Removes all cgroups below a cgroup directory, and kills the processes in it.
pub fn remove_children(directory: &Path) {
    let _gone = fs::write(directory.join("cgroup.kill"), "1");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
}

fn made() -> MutexGuard<'static, Option<HashSet<PathBuf>>> {
    lock(&MADE)
}

fn move_here(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("cgroup.procs"), std::process::id().to_string())
}

/// Moves the process back, also when `work` panics.
struct Back(PathBuf);

impl Drop for Back {
    fn drop(&mut self) {
        move_here(&self.0).expect("the process may return to the cgroup it came from");
        // Children that other threads have started meanwhile were started in this cgroup.
        fork::wait_for_exec();
    }
}

/// The right to move this process: all its threads are in the same cgroup.
struct Turn;

static TAKEN: Mutex<bool> = Mutex::new(false);
static GIVEN_BACK: Condvar = Condvar::new();

impl Turn {
    /// Longer than any test works inside a cgroup; reached only by nesting.
    const PATIENCE: Duration = Duration::from_secs(120);

    fn take() -> Self {
        let taken = lock(&TAKEN);
        let (mut taken, waited) = GIVEN_BACK
            .wait_timeout_while(taken, Self::PATIENCE, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "Cgroup::enter waited {:?} for its turn: calls may not nest",
            Self::PATIENCE
        );
        *taken = true;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&TAKEN) = false;
        GIVEN_BACK.notify_one();
    }
}
