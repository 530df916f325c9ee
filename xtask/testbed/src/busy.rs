//! Processes that do nothing but use CPU time: the noisy neighbours of a measured process.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::cgroup::Cgroup;
use crate::process::{Child, Placement};
use crate::wait;

/// How long each of them may take to get its first CPU time.
const FIRST_SHARE: Duration = Duration::from_secs(10);

/// Busy processes; killed when the guard is dropped.
#[derive(Debug)]
pub struct Busy(Vec<Child>);

impl Busy {
    /// Starts `n` processes that keep one CPU (counted from 0) busy, and returns when each has run.
    ///
    /// In `cgroup` they are a workload of their own; without one they belong to the node, like this process.
    pub fn start(n: usize, core: usize, cgroup: Option<&Cgroup>) -> Result<Self> {
        Self::at(n, &Placement::new(None, cgroup).core(core))
    }

    /// The same, at a placement.
    pub fn at(n: usize, place: &Placement<'_>) -> Result<Self> {
        let started = (0..n).map(|_| place.spawn(Command::new("sh").args(["-c", "while :; do :; done"])));
        let busy = Self(started.collect::<Result<_>>()?);
        for child in &busy.0 {
            wait::until("a busy process to run", FIRST_SHARE, || {
                (ticks(child)? > 0).then_some(())
            })?;
        }
        Ok(busy)
    }
}

/// How long a process has run in user mode, in ticks of the kernel (USER_HZ).
fn ticks(child: &Child) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // Field 14; the name, which is the second field, may contain spaces.
    stat.rsplit_once(") ")?.1.split(' ').nth(11)?.parse().ok()
}
