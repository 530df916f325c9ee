//! A parent process that outlives its worker, to remove what the worker could not remove.
//!
//! Namespaces and pins disappear with the worker's mount namespace, and its processes die with it, but the directories of
//! cgroups and temporary files remain when it is killed. The janitor removes them. If the janitor is killed, the
//! worker gets a signal to exit and removes them itself. If both are killed, the remaining empty cgroups and
//! files below `/run` are removed at the next start.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getppid};

use crate::process::Child;
use crate::signals::Stop;
use crate::{cgroup, command, limits, wait};

/// How often the janitor checks its worker.
const LOOK: Duration = Duration::from_millis(100);

/// How long the children of a dead worker may take to exit.
const ORPHANS: Duration = Duration::from_secs(5);

/// Runs `worker` in its own process group, with the cgroup `top` (below the root of the hierarchy) for its exclusive use and
/// `/run/<top>` for its temporary files. Forwards the first signal to exit, kills the worker at the second one, and cleans up
/// when it has exited. The worker also calls [`clean`] at its end.
///
/// If another instance with this cgroup is running, this one is rejected. The calling process must have no other
/// children, because it inherits and reaps those of its worker.
pub fn watch(worker: &mut Command, top: &str) -> Result<ExitStatus> {
    let directory = cgroup::root().join(top);
    fs::create_dir_all(&directory).with_context(|| format!("make cgroup {}", directory.display()))?;
    let claim = Flock::lock(File::open(&directory)?, FlockArg::LockExclusiveNonblock).map_err(|(_, _)| {
        anyhow!(
            "another instance is running: it uses the cgroup {}",
            directory.display()
        )
    })?;
    cgroup::remove_children(&directory);
    limits::remove_trees(top);
    let _none = fs::remove_dir_all(scratch(top));
    fs::create_dir(scratch(top)).with_context(|| format!("make {}", scratch(top).display()))?;
    // Where process 1 is not a real init, as in many containers, orphans would remain as zombies.
    prctl::set_child_subreaper(true)?;
    let outcome = watch_worker(worker.env("TMPDIR", scratch(top)));
    clean(top);
    reap_orphans();
    drop(claim);
    outcome
}

/// Kills all processes in the cgroup `top`, and removes it and the temporary files.
pub fn clean(top: &str) {
    cgroup::remove_tree(&cgroup::root().join(top));
    limits::remove_trees(top);
    let _none = fs::remove_dir_all(scratch(top));
}

/// The directory of a worker's temporary files; below `/run`, where only root can create files.
fn scratch(top: &str) -> PathBuf {
    Path::new("/run").join(top)
}

/// Reaps the worker's children, which got SIGKILL when it died.
fn reap_orphans() {
    let _remaining = wait::until("the worker's children to end", ORPHANS, || {
        matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD)).then_some(())
    });
}

fn watch_worker(worker: &mut Command) -> Result<ExitStatus> {
    let stop = Stop::listen()?;
    let parent = Pid::this();
    // A process group of its own, so that only the janitor gets Ctrl-C and the worker's children can be stopped in order.
    worker.process_group(0);
    let prepare = move || {
        SigSet::empty().thread_set_mask()?;
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(std::io::Error::other("the parent ended first"));
        }
        Ok(())
    };
    // SAFETY: `prepare` only makes system calls (sigprocmask, prctl, getppid) between fork and exec.
    unsafe { worker.pre_exec(prepare) };
    let mut worker = Child::from(command::spawn(worker).context("start the worker")?);
    let mut asked = false;
    loop {
        if let Some(status) = worker.try_wait()? {
            return Ok(status);
        }
        if stop.within(LOOK)? {
            worker.signal(if asked { Signal::SIGKILL } else { Signal::SIGTERM });
            asked = true;
        }
    }
}
