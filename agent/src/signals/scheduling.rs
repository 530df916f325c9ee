//! How long runnable threads of points wait for a CPU, and who runs meanwhile.

use super::processes;
use crate::{
    histogram::Histogram,
    metrics::{
        Detail, Encoder, Labels, families,
        labels::{POINT, label},
        with,
    },
    program::{Hook, Need, Program},
};
use agent_common::Field;
use std::{fmt, time::Duration};

/// Runs when a thread is woken up.
pub const WAKEUP: Program = Program {
    name: "sched_wakeup",
    hook: Hook::Points("sched_wakeup"),
    signal: "run-queue delay of points that are woken up",
    needs: &[
        Need::Field(Field::task_pid),
        Need::Field(Field::task_on_cpu),
        Need::Program(&processes::EXIT),
    ],
};

/// Runs when a new thread becomes runnable.
pub const WAKEUP_NEW: Program = Program {
    name: "sched_wakeup_new",
    hook: Hook::Points("sched_wakeup_new"),
    signal: "run-queue delay of new threads of points",
    needs: &[
        Need::Field(Field::task_pid),
        Need::Field(Field::task_on_cpu),
        Need::Program(&processes::EXIT),
    ],
};

/// Runs when a CPU switches to another thread.
pub const SWITCH: Program = Program {
    name: "sched_switch",
    hook: Hook::Points("sched_switch"),
    signal: "run-queue delay of points, and what runs meanwhile",
    needs: &[
        Need::Field(Field::task_pid),
        Need::Field(Field::task_state),
        Need::Field(Field::task_flags),
        Need::Field(Field::task_cgroups),
        Need::Field(Field::css_set_dfl_cgrp),
        Need::Program(&processes::EXIT),
    ],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 3] = [&WAKEUP, &WAKEUP_NEW, &SWITCH];

families! {
    RUN_QUEUE: fine_histogram(
        "narrows_run_queue_seconds",
        "Time that runnable threads of the point waited for a CPU, one sample per wait"
    )
        .by(&[POINT])
        .needs(&[Need::Program(&SWITCH), Need::Program(&WAKEUP)])
        .at(Detail::Points);

    CPU_WAIT: counter(
        "narrows_cpu_wait_seconds_total",
        "Total time that runnable threads of the point waited for a CPU"
    )
        .by(&[POINT])
        .needs(&[Need::Program(&SWITCH), Need::Program(&WAKEUP)])
        .at(Detail::Points);

    PREEMPTIONS: counter(
        "narrows_preemptions_total",
        "Times that a thread of the point was runnable while another one ran: it was preempted, or had to wait after it was woken \
         up"
    )
        .by(&[POINT, &[label("by", "Who ran: itself (another thread of the point), workload (another workload) or system")]])
        .caveat("Not counted while the point was throttled by its own CFS quota")
        .needs(&[Need::Program(&SWITCH), Need::Program(&WAKEUP)])
        .at(Detail::Points);
}

/// The map of what ran while a thread of a point was runnable: by cgroup; 0 is the kernel.
pub const TALLY: &str = "PREEMPTIONS";

/// What ran while a thread of the point was runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// Another thread of the point.
    Itself = 0,
    /// Another workload or point.
    Workload = 1,
    /// The kernel, or a service of the node.
    System = 2,
}

impl Culprit {
    /// All culprits, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Itself, Self::Workload, Self::System];

    /// The value of the `by` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Workload => "workload",
            Self::System => "system",
        }
    }
}

/// The scheduling delays of a point.
#[derive(Clone, Debug, Default)]
pub struct Scheduling {
    /// How long runnable threads waited for a CPU.
    pub run_queue: Histogram,
    /// Number of preemptions, by [`Culprit`].
    pub preemptions: [u64; Culprit::ALL.len()],
    /// The total wait when the last pass began, in microseconds.
    waited_before_us: u64,
}

impl Scheduling {
    /// Adds what the kernel has counted since the last reading.
    pub fn add(&mut self, new: &agent_common::Scheduling) {
        self.run_queue.add(&new.run_queue, new.run_queue_ns / 1000);
    }

    /// Starts a new pass.
    pub const fn begin(&mut self) {
        self.waited_before_us = self.run_queue.sum_us;
    }

    /// How long threads have waited since the pass before the last.
    pub const fn waited(&self) -> Duration {
        Duration::from_micros(self.run_queue.sum_us - self.waited_before_us)
    }
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Scheduling)> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    let waits = points.clone().map(|(labels, of)| (labels.clone(), &of.run_queue));
    encoder.write(&RUN_QUEUE, waits.clone())?;
    encoder.write(&CPU_WAIT, waits.map(|(labels, run_queue)| (labels, run_queue.sum())))?;
    let preemptions = points.flat_map(|(labels, of)| {
        let by = Culprit::ALL.into_iter().zip(of.preemptions);
        by.map(|(who, n)| (with(labels.clone(), [("by", who.label())]), n))
    });
    encoder.write(&PREEMPTIONS, preemptions)
}
