//! What is counted and measured inside points, beyond their own metrics: a module for each signal, with its kernel programs, what
//! these need, how their counters are read, and the resulting metrics. A new signal is a file here, one next to it in
//! `agent-ebpf/src/hooks`, and an entry in each of the lists below.

pub mod accepts;
pub mod delays;
pub mod drops;
pub mod lifetimes;
pub mod paths;
pub mod processes;
pub mod scheduling;
mod sides;
pub mod skew;
pub mod sockets;
mod status;

pub use scheduling::Culprit;
pub use status::Signal;

use crate::{
    metrics::{Encoder, Family, Labels},
    program::{CORE, Program},
};
use agent_common::{Accepts, Count, PointCounters, Processes};
use delays::Delays;
use drops::Drops;
use lifetimes::Lifetimes;
use scheduling::Scheduling;
use skew::Skew;
use sockets::Sockets;
use std::fmt;

/// The programs of all signals. Those that others need come first.
const SIGNALS: [&[&Program]; 6] = [
    &processes::PROGRAMS,
    &scheduling::PROGRAMS,
    &delays::PROGRAMS,
    &accepts::PROGRAMS,
    &drops::PROGRAMS,
    &paths::PROGRAMS,
];

/// The families of all signals.
pub const FAMILIES: &[&[&Family]] = &[
    delays::FAMILIES,
    scheduling::FAMILIES,
    processes::FAMILIES,
    accepts::FAMILIES,
    drops::FAMILIES,
    lifetimes::FAMILIES,
    skew::FAMILIES,
    sockets::FAMILIES,
];

/// The tables in which signals count for points by many label values ([`agent_common::Tally`]).
pub const TALLIES: [TallyTable; 2] = [
    TallyTable {
        map: scheduling::TALLY,
        add: |inside, what, new, meaning| inside.scheduling.preemptions[(meaning.culprit)(what) as usize] += new,
    },
    TallyTable {
        map: drops::TALLY,
        add: |inside, what, new, meaning| {
            let name = |reason| (meaning.enumerator)(drops::REASONS, reason);
            inside.drops.add(what, new, name);
        },
    },
];

/// The kernel enumerations whose value names signals export.
pub const ENUMERATIONS: [&str; 1] = [drops::REASONS];

/// All kernel programs, in the order in which they are attached.
pub fn programs() -> impl Iterator<Item = &'static Program> {
    CORE.iter().chain(SIGNALS.iter().copied().flatten()).copied()
}

/// The measurements from inside a point: sums, and the state found last.
#[derive(Clone, Debug)]
pub struct Inside {
    /// How long data waits to be read and forwarded.
    pub delays: Delays,
    /// How long runnable threads wait for a CPU.
    pub scheduling: Scheduling,
    /// Processes that start and end.
    pub processes: Processes,
    /// Failed calls of `accept`.
    pub accepts: Accepts,
    /// Packets dropped by the kernel.
    pub drops: Drops,
    /// How long connections live.
    pub lifetimes: Lifetimes,
    /// How evenly the threads share the work.
    pub skew: Skew,
    /// State of the open sockets.
    pub sockets: Sockets,
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            scheduling: Scheduling::default(),
            processes: Processes::ZERO,
            accepts: Accepts::ZERO,
            drops: Drops::default(),
            lifetimes: Lifetimes::default(),
            skew: Skew::NONE,
            sockets: Sockets::default(),
        }
    }
}

impl Inside {
    /// Adds what the kernel has counted between two readings.
    pub fn add(&mut self, new: &PointCounters) {
        self.delays.add(&new.delays);
        self.scheduling.add(&new.scheduling);
        self.processes = self.processes.plus(new.processes);
        self.accepts = self.accepts.plus(new.accepts);
        self.lifetimes.add(&new.lifetimes);
    }

    /// Starts a new pass over sockets and threads.
    pub const fn begin(&mut self) {
        self.sockets.begin();
        self.skew = Skew::NONE;
        self.scheduling.begin();
    }
}

/// A table of a signal.
pub struct TallyTable {
    /// The name of its map.
    pub map: &'static str,
    /// Adds to a point how often something was counted since the last reading, by its number in the table.
    pub add: fn(&mut Inside, u64, u64, &Meaning<'_>),
}

/// The meaning of numbers in the tables of signals.
pub struct Meaning<'a> {
    /// The relation of a cgroup to the point.
    pub culprit: &'a dyn Fn(u64) -> Culprit,
    /// The kernel's name for a value of one of its [`ENUMERATIONS`].
    pub enumerator: &'a dyn Fn(&str, u32) -> Option<&'a str>,
}

/// Writes the metrics of all signals, for the points that run here.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(points: &'a [(Labels<'a>, &'a Inside)], encoder: &mut Encoder<'_>) -> fmt::Result {
    let all = points.iter();
    delays::encode(all.clone().map(|(labels, inside)| (labels, &inside.delays)), encoder)?;
    scheduling::encode(
        all.clone().map(|(labels, inside)| (labels, &inside.scheduling)),
        encoder,
    )?;
    processes::encode(all.clone().map(|(labels, inside)| (labels, &inside.processes)), encoder)?;
    drops::encode(all.clone().map(|(labels, inside)| (labels, &inside.drops)), encoder)?;
    accepts::encode(all.clone().map(|(labels, inside)| (labels, &inside.accepts)), encoder)?;
    lifetimes::encode(
        all.clone()
            .map(|(labels, inside)| (labels, (&inside.lifetimes, &inside.sockets))),
        encoder,
    )?;
    skew::encode(all.clone().map(|(labels, inside)| (labels, &inside.skew)), encoder)?;
    sockets::encode(all.map(|(labels, inside)| (labels, &inside.sockets)), encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::Exit;

    #[test]
    fn only_what_is_new_is_added() {
        let mut last = PointCounters::ZERO;
        last.delays.read[1][3] = u32::MAX;
        last.processes.exits[Exit::Killed as usize] = 2;
        let mut now = last;
        now.delays.read[1][3] = 1;
        now.delays.read_ns[1] = 20_000;
        now.processes.exits[Exit::Killed as usize] = 3;
        let mut inside = Inside::default();
        inside.add(&now.since(last));
        assert_eq!(inside.delays.read[1].buckets[3], 2);
        assert_eq!(inside.delays.read[1].sum_us, 20);
        assert_eq!(inside.processes.exits, [0, 1, 0]);
    }

    #[test]
    fn programs_come_after_those_that_they_need() {
        let mut earlier: Vec<&Program> = Vec::new();
        for program in programs() {
            for need in program.needs {
                if let crate::program::Need::Program(other) = need {
                    assert!(earlier.contains(other), "{} needs {}", program.name, other.name);
                }
            }
            assert!(!earlier.contains(&program), "{} is declared twice", program.name);
            earlier.push(program);
        }
    }
}
