//! Processes of points that start and end.

use crate::{
    metrics::{
        Encoder, Labels, families,
        labels::{POINT, label},
        with,
    },
    program::{Hook, Need, Program},
};
use agent_common::{Exit, Field, Processes};
use std::fmt;

/// Runs when a process or thread starts.
pub const FORK: Program = Program {
    name: "process_fork",
    hook: Hook::Points("sched_process_fork"),
    signal: "new threads and processes of points",
    needs: &[
        Need::KernelNumbers,
        Need::Field(Field::task_pid),
        Need::Field(Field::task_tgid),
    ],
};

/// Runs when a thread exits.
pub const EXIT: Program = Program {
    name: "process_exit",
    hook: Hook::Points("sched_process_exit"),
    signal: "exits and OOM kills of points",
    needs: &[
        Need::Field(Field::task_pid),
        Need::Field(Field::task_signal),
        Need::Field(Field::task_exit_code),
        Need::Field(Field::signal_live),
        Need::Field(Field::signal_group_exit_code),
        Need::Program(&FORK),
    ],
};

/// Runs when a process executes a program.
pub const EXEC: Program = Program {
    name: "process_exec",
    hook: Hook::Points("sched_process_exec"),
    signal: "starts of points, also between two ticks",
    needs: &[
        Need::Field(Field::task_pid),
        Need::Field(Field::task_tgid),
        Need::Field(Field::task_flags),
        Need::Field(Field::task_cgroups),
        Need::Field(Field::css_set_dfl_cgrp),
        Need::Program(&EXIT),
    ],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 3] = [&FORK, &EXIT, &EXEC];

families! {
    STARTS: counter("narrows_point_starts_total", "Main processes of the point that started since the agent started")
        .by(&[POINT])
        .needs(&[Need::Program(&EXIT)]);

    EXITS: counter(
        "narrows_point_exits_total",
        "Processes of the point that ended; those that it had started itself count only if they were killed"
    )
        .by(&[POINT, &[label("reason", "exited, killed (by a signal) or oom_killed (by the kernel, as memory ran out)")]])
        .needs(&[Need::Program(&EXIT)]);
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Processes)> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    encoder.write(&STARTS, points.clone().map(|(labels, of)| (labels.clone(), of.starts)))?;
    let exits = points.flat_map(|(labels, of)| {
        let by = Exit::ALL.into_iter().zip(of.exits);
        by.map(|(how, n)| (with(labels.clone(), [("reason", how.label())]), n))
    });
    encoder.write(&EXITS, exits)
}
