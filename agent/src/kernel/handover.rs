//! The handover from the programs of one epoch to new ones, on the same maps, while connections begin and end.
//!
//! The kernel runs the programs of a tracepoint in the order in which they were attached. A life-cycle program leaves a note of
//! what it has handled for its twin, which runs after it (`agent-ebpf/src/ledger.rs`). During a handover, twins do not remove the
//! notes, and leave notes of what they handle themselves. So at each of these steps every state change is handled by exactly one
//! program:
//!
//! | attached, in this order | who handles a change |
//! | --- | --- |
//! | old, old twin | old |
//! | old, old twin, new (not on duty), new twin | old; both twins find its note |
//! | old twin, new, new twin | old twin; the new twin finds its note |
//! | new, new twin | new twin |
//! | new (on duty), new twin | new |
//!
//! If the kernel refuses the new twin, nothing is counted between the last two steps.
//!
//! All other programs are replaced one by one: they miss what happens between detaching the old and attaching the new one.

use super::{
    control::{Controls, settle},
    pins::{EpochDir, LayoutDir},
    probes::Probes,
};
use crate::{
    program::{Hook, LIFE_CYCLE},
    signals,
};
use agent_common::Control;
use std::path::PathBuf;

/// Replaces the programs of `old` by those in `new`, which are loaded and not attached yet; `epoch` is that of the new ones.
///
/// # Errors
/// The system call's error. Whatever has been done by then, connections are counted, and the next agent completes the handover.
pub fn hand_over(old: &EpochDir, new: &mut Probes, controls: &mut Controls, epoch: u32) -> anyhow::Result<()> {
    let mut leaving = resume(old);
    controls.set(Control::HandsOver, true)?;
    settle();
    // A program that cannot be attached is retried when all programs are attached, and reported then.
    for program in LIFE_CYCLE {
        let _later = new.attach(program.name);
    }
    finish(&mut leaving)?;
    for program in signals::programs().filter(|program| !program.is_life_cycle()) {
        let was_attached = leaving.is_attached(program.name);
        leaving.detach(program.name)?;
        if was_attached || matches!(program.hook, Hook::Tracepoint(_)) {
            let _later = new.attach(program.name);
        }
    }
    controls.begin(epoch)?;
    controls.set(Control::HandsOver, false)?;
    old.remove()
}

/// Detaches the life-cycle programs that leave, and waits until none of them is still running.
fn finish(leaving: &mut Probes) -> anyhow::Result<()> {
    for program in LIFE_CYCLE {
        leaving.detach(program.name)?;
    }
    settle();
    Ok(())
}

/// What is attached of an epoch, to be detached.
fn resume(epoch: &EpochDir) -> Probes {
    let mut probes = Probes::new(Some(epoch.clone()), PathBuf::new());
    for program in signals::programs() {
        probes.resume(program);
    }
    probes
}

/// Repairs the state left by an agent that ended during a handover: one epoch remains, and counts.
///
/// # Errors
/// The system call's error.
pub fn recover(layout: &LayoutDir, controls: &mut Controls) -> anyhow::Result<()> {
    let [_, twin] = LIFE_CYCLE;
    for epoch in layout
        .epochs()
        .into_iter()
        .filter(|epoch| *epoch != controls.epoch())
        .collect::<Vec<_>>()
    {
        let came = layout.epoch(epoch);
        if !resume(&came).is_attached(twin.name) {
            // The new epoch did not count yet.
            came.remove()?;
            continue;
        }
        let left = layout.epoch(controls.epoch());
        let mut leaving = resume(&left);
        finish(&mut leaving)?;
        drop(leaving);
        controls.begin(epoch)?;
        left.remove()?;
    }
    controls.set(Control::HandsOver, false)
}
