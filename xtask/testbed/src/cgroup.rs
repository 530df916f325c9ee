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

/// Directories that this process made; also held while directories come and go, so that nobody makes a child of a
/// parent that is on its way out.
static MADE: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// Where the cgroup2 hierarchy is mounted (on hybrid systems not `/sys/fs/cgroup` itself).
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

/// The directory of the cgroup that this process was in when the testbed first asked.
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

/// A cgroup; everything in it is killed and it is removed when the guard goes away.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    directory: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Makes the cgroup `path` (`top/leaf`) below the root of the hierarchy, with the parents it needs.
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

    /// Runs `work` while this whole process is in the cgroup, then moves it back. Of what the testbed starts meanwhile, only what
    /// belongs there is still inside when this returns.
    ///
    /// A socket belongs to the cgroup its creator was in, and an accepted one to that of its listener, so sockets
    /// made in `work` keep this owner. One thread at a time: do not nest.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        let _turn = Turn::take();
        let before = current().expect("this process is in a cgroup2 group");
        move_here(&self.directory).expect("root may move its own process into a cgroup it made");
        let _back = Back(before);
        work()
    }

    /// The processes inside.
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
            // A parent with other children stays: its last child takes it along.
            if !made.contains(parent) || fs::remove_dir(parent).is_err() {
                break;
            }
            made.remove(parent);
        }
    }
}

/// Kills everything in a cgroup directory, waits a bounded time until it is empty, and removes it.
pub fn remove(directory: &Path) {
    let _gone = fs::write(directory.join("cgroup.kill"), "1");
    let what = format!("cgroup {} to be empty", directory.display());
    let _stays = wait::until(&what, EMPTY, || match fs::remove_dir(directory) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(()),
        Err(_) => None,
    });
}

/// Removes a cgroup directory with all that is below it.
pub fn remove_tree(directory: &Path) {
    remove_children(directory);
    remove(directory);
}

/// Removes all that is below a cgroup directory, and kills what is in it.
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
        // Those that other threads have begun meanwhile began in here.
        fork::wait_for_exec();
    }
}

/// The right to move this process: its cgroup is one for all its threads.
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
