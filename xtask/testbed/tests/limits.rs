//! Limits limit, and leave nothing. Needs root.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use narrows_testbed::actor::Actor;
use narrows_testbed::burden::Weight;
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::limits::{self, Limits};

const MIB: u64 = 1 << 20;

/// The group of a process that has a controller: its directory, and whether that is of cgroup v1.
fn group(pid: u32, controller: &str) -> Result<(PathBuf, bool)> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = |controllers: &str| {
        groups.lines().find_map(|line| {
            let mut columns = line.splitn(3, ':').skip(1);
            let named = columns.next()?.split(',').any(|name| name == controllers);
            named.then(|| columns.next().map(|path| path.trim_matches('/').to_owned()))?
        })
    };
    match path(controller) {
        Some(path) => Ok((
            limits::hierarchies().remove(controller).context("a mount")?.join(path),
            true,
        )),
        None => Ok((cgroup::root().join(path("").context("a cgroup2 group")?), false)),
    }
}

fn read(directory: &Path, file: &str) -> Result<String> {
    let text = fs::read_to_string(directory.join(file)).with_context(|| format!("{}/{file}", directory.display()))?;
    Ok(text.trim().to_owned())
}

#[test]
fn a_process_starts_within_its_limits() -> Result<()> {
    let cgroup = Cgroup::new(&cgroup::unique("narrows-limits"))?;
    let limits = Limits::new(&cgroup, Some(0.05), Some(64 * MIB))?;
    let actor = Actor::burden(Weight::default(), &cgroup, Some(&limits))?;
    let ((cpu, old_cpu), (memory, old_memory)) = (group(actor.pid(), "cpu")?, group(actor.pid(), "memory")?);
    if old_cpu {
        assert_eq!(read(&cpu, "cpu.cfs_quota_us")?, "5000");
        assert_eq!(read(&cpu, "cpu.cfs_period_us")?, "100000");
    } else {
        assert_eq!(read(&cpu, "cpu.max")?, "5000 100000");
    }
    let bytes = read(
        &memory,
        if old_memory {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        },
    )?;
    assert_eq!(bytes, (64 * MIB).to_string());
    actor.stop()?;
    drop(limits);
    for (directory, old) in [(&cpu, old_cpu), (&memory, old_memory)] {
        assert_eq!(directory.exists(), !old, "{}", directory.display());
    }
    if !old_cpu {
        assert_eq!(read(&cpu, "cpu.max")?, "max 100000");
    }
    drop(cgroup);
    assert!(!cpu.exists() && !memory.exists());
    Ok(())
}

#[test]
fn a_running_process_is_taken_in_and_outlives_its_limits() -> Result<()> {
    let cgroup = Cgroup::new(&cgroup::unique("narrows-limits"))?;
    let actor = Actor::burden(Weight::default(), &cgroup, None)?;
    let home = group(actor.pid(), "memory")?;
    let limits = Limits::new(&cgroup, None, Some(64 * MIB))?;
    limits.take_in(actor.pid())?;
    let (directory, old) = group(actor.pid(), "memory")?;
    let bytes = read(&directory, if old { "memory.limit_in_bytes" } else { "memory.max" })?;
    assert_eq!(bytes, (64 * MIB).to_string());
    drop(limits);
    assert_eq!(group(actor.pid(), "memory")?, home);
    actor.stop()?;
    Ok(())
}

#[test]
fn who_wants_more_memory_is_killed() -> Result<()> {
    let cgroup = Cgroup::new(&cgroup::unique("narrows-limits"))?;
    let limits = Limits::new(&cgroup, None, Some(32 * MIB))?;
    let weight = Weight {
        memory_bytes: 128 << 20,
        ..Weight::default()
    };
    let refused = Actor::burden(weight, &cgroup, Some(&limits));
    assert!(refused.is_err(), "it got all of its memory");
    Ok(())
}

#[test]
fn limits_go_when_a_test_panics() -> Result<()> {
    let top = cgroup::unique("narrows-limits");
    let path = format!("{top}/part");
    let mut seen = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let cgroup = Cgroup::new(&path).expect("a cgroup");
        let limits = Limits::new(&cgroup, Some(0.5), Some(64 * MIB)).expect("limits");
        let mut sleep = Command::new("sleep");
        limits.place(sleep.arg("600")).expect("placed");
        let child = cgroup.spawn(&mut sleep).expect("it runs");
        seen = Some((group(child.id(), "cpu"), group(child.id(), "memory")));
        panic!("as a test may");
    }));
    assert!(panicked.is_err());
    let (cpu, memory) = seen.context("it ran")?;
    for (directory, _) in [cpu?, memory?] {
        let parent = directory.parent().context("a parent")?;
        assert!(directory.ends_with(&path), "{}", directory.display());
        assert!(!directory.exists() && !parent.exists(), "{}", directory.display());
    }
    Ok(())
}
