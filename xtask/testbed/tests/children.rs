//! Whatever a test starts is not drawn into what another test does at the same time. Needs root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::netns::Netns;
use narrows_testbed::process::Placement;
use narrows_testbed::{command, isolate, wait};
use nix::unistd::gettid;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn what_a_test_runs_outlives_the_cgroups_of_others() -> Result<()> {
    isolate()?;
    let netns = Netns::new("outlives")?;
    let group = Cgroup::new(&cgroup::unique("narrows-testbed"))?;
    // As if another thread were inside.
    let (mut child, line) = group.enter(|| {
        let mut cat = Command::new("cat");
        let child = command::spawn(cat.stdin(Stdio::piped()).stdout(Stdio::piped()));
        (child, netns.exec("grep ^0:: /proc/self/cgroup"))
    });
    let child = child.as_mut().map_err(|error| anyhow::anyhow!("{error}"))?;
    assert!(group.pids().is_empty());
    assert!(!line?.contains(group.path()), "it counts as a part of the workload");
    drop(group);
    child.stdin.take().context("piped")?.write_all(b"alive")?;
    let mut said = String::new();
    child.stdout.take().context("piped")?.read_to_string(&mut said)?;
    assert_eq!((child.wait()?.code(), said.as_str()), (Some(0), "alive"));
    Ok(())
}

#[test]
fn a_child_that_has_not_reached_exec_outlives_the_cgroups_of_others() -> Result<()> {
    let group = Cgroup::new(&cgroup::unique("narrows-testbed"))?;
    let inside = group.path().to_owned();
    let is_home = || fs::read_to_string("/proc/self/cgroup").is_ok_and(|text| !text.contains(&inside));
    let (inform, informed) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let (mut here, there) = UnixStream::pair()?;
    // Moved, so that nobody waits for what an error here leaves unsaid.
    thread::scope(move |scope| {
        let other = scope.spawn(move || {
            group.enter(|| {
                inform.send(gettid()).expect("somebody listens");
                left.recv().expect("somebody tells");
            });
            drop(group);
        });
        let other_thread = informed.recv()?;
        let starts = scope.spawn(move || {
            let mut command = Command::new("true");
            let wait = move || {
                (&there).write_all(b"c")?;
                (&there).read_exact(&mut [0])
            };
            // SAFETY: between fork and exec, `wait` only makes system calls (write, read).
            unsafe { command.pre_exec(wait) };
            Placement::default().spawn(&mut command)?.ended(PATIENCE)
        });
        // The child is in the cgroup of the other test, which is over now.
        here.read_exact(&mut [0])?;
        leave.send(())?;
        // Its thread has taken down everything, or waits.
        wait::until("the other test to be over or to wait", PATIENCE, || {
            let stat = format!("/proc/self/task/{other_thread}/stat");
            let waits = || fs::read_to_string(stat).map_or(true, |stat| stat.contains(") S "));
            (is_home() && waits()).then_some(())
        })?;
        here.write_all(b"p")?;
        let status = starts.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        assert!(status.success(), "{status}");
        other.join().map_err(|_| anyhow::anyhow!("the other test panicked"))
    })
}
