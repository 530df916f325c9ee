//! The janitor cleans up after a worker that does not. Needs root. The only test of its process, whose children the
//! janitor reaps.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use narrows_testbed::{cgroup, janitor, limits};
use nix::fcntl::{Flock, FlockArg};

#[test]
fn a_worker_that_crashes_leaves_nothing() -> Result<()> {
    let top = cgroup::unique("narrows-janitor");
    let directory = cgroup::root().join(&top);
    // What an earlier run that was killed has left.
    fs::create_dir_all(directory.join("left/over"))?;
    // Where cgroup2 has all controllers, there are none of these.
    let limited: Vec<_> = ["cpu", "memory"]
        .iter()
        .filter_map(|controller| limits::hierarchies().remove(*controller))
        .map(|mount| mount.join(&top))
        .collect();
    for directory in &limited {
        fs::create_dir_all(directory.join("left/over"))?;
    }

    let pid_file = tempfile::NamedTempFile::new()?;
    let script = r#"
        test ! -e "$1/left" || exit 4
        mkdir -p "$1/part/inner"
        (echo 0 > "$1/part/inner/cgroup.procs"; exec sleep 600) &
        echo $! > "$2"
        until grep -q . "$1/part/inner/cgroup.procs"; do :; done
        touch "$TMPDIR/file"
        exit 3
    "#;
    let mut worker = Command::new("sh");
    worker
        .args(["-ec", script, "worker"])
        .arg(&directory)
        .arg(pid_file.path());
    let status = janitor::watch(&mut worker, &top)?;
    assert_eq!(status.code(), Some(3));
    assert!(!directory.exists());
    assert!(limited.iter().all(|directory| !directory.exists()), "{limited:?}");
    assert!(!Path::new("/run").join(&top).exists());
    let orphan = fs::read_to_string(pid_file.path())?;
    assert!(
        !Path::new("/proc").join(orphan.trim()).exists(),
        "the worker's child is still there"
    );

    fs::create_dir(&directory)?;
    let claim = Flock::lock(File::open(&directory)?, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?;
    let refused = janitor::watch(&mut Command::new("true"), &top)
        .err()
        .context("two at once")?;
    assert!(
        refused.to_string().contains("another instance is running"),
        "{refused:#}"
    );
    drop(claim);
    cgroup::remove_tree(&directory);
    Ok(())
}
