//! What happens inside a point, where its own clocks and counters do not look: data that waits to be read, threads that wait
//! for a processor, calls that fail, processes that end.

use super::histogram::Histogram;
use agent_common::{ACCEPT_ERRORS, AcceptError, BUCKETS, Backlog, EXITS, Exit, PointCounters, STATES};
use std::time::Duration;

/// Who had the processor while a thread of the point was ready to run.
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
    /// All of them, in the order of their numbers.
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

/// The TCP states by their numbers, as labels; the first is none. The last one of the kernel's, `new_syn_recv`, is that of
/// requests, which are no sockets.
pub const STATE_LABELS: [&str; 12] = [
    "",
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Sums and last findings; two-element arrays are upstream, downstream.
#[derive(Clone, Debug)]
pub struct Inside {
    /// From data coming in to its being read.
    pub read_delay: [Histogram; 2],
    /// From a read to the next write to another socket.
    pub forward_delay: [Histogram; 2],
    /// How long threads that were ready to run waited for a processor.
    pub run_queue: Histogram,
    /// That, in all, when the last look began, in microseconds.
    waited_before_us: u64,
    /// By [`Culprit`].
    pub preemptions: [u64; Culprit::ALL.len()],
    /// Processes that began as the point.
    pub starts: u64,
    /// Processes that ended, by [`Exit`].
    pub exits: [u64; EXITS],
    /// Failed accepts by [`AcceptError`].
    pub accept_errors: [u64; ACCEPT_ERRORS],
    /// The sockets as they were found last.
    pub backlog: Backlog,
    /// Most connections that are open toward one destination.
    pub ports_used: u64,
    /// Ports for connections there are in its network namespace; 0: not known.
    pub ports: u64,
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            read_delay: Default::default(),
            forward_delay: Default::default(),
            run_queue: Histogram::default(),
            waited_before_us: 0,
            preemptions: [0; Culprit::ALL.len()],
            starts: 0,
            exits: [0; EXITS],
            accept_errors: [0; ACCEPT_ERRORS],
            backlog: Backlog::ZERO,
            ports_used: 0,
            ports: 0,
        }
    }
}

impl Inside {
    /// Adds what the kernel has counted since `last`.
    pub fn add(&mut self, now: &PointCounters, last: &PointCounters) {
        for side in 0..2 {
            let delay = |histogram: &mut Histogram, now: &[[u32; BUCKETS]; 2], last: &[[u32; BUCKETS]; 2], ns: u64| {
                histogram.add(&since(&now[side], &last[side]), ns / 1000);
            };
            delay(
                &mut self.read_delay[side],
                &now.read_delay,
                &last.read_delay,
                now.read_delay_ns[side].wrapping_sub(last.read_delay_ns[side]),
            );
            delay(
                &mut self.forward_delay[side],
                &now.forward_delay,
                &last.forward_delay,
                now.forward_delay_ns[side].wrapping_sub(last.forward_delay_ns[side]),
            );
        }
        self.run_queue.add(
            &since(&now.run_queue, &last.run_queue),
            now.run_queue_ns.wrapping_sub(last.run_queue_ns) / 1000,
        );
        self.starts += now.starts.wrapping_sub(last.starts);
        for n in 0..EXITS {
            self.exits[n] += now.exits[n].wrapping_sub(last.exits[n]);
        }
        for n in 0..ACCEPT_ERRORS {
            self.accept_errors[n] += now.accept_errors[n].wrapping_sub(last.accept_errors[n]);
        }
    }

    /// Begins a new look at the sockets.
    pub fn begin(&mut self) {
        self.backlog = Backlog::ZERO;
        self.ports_used = 0;
        self.waited_before_us = self.run_queue.sum_us;
    }

    /// How long its threads have waited for a processor since the look before the last.
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.run_queue.sum_us - self.waited_before_us)
    }

    /// Connections that the point has read nothing of for a tick, though something waits.
    pub fn unread(&self) -> u64 {
        self.backlog.stalled_unread.iter().copied().map(u64::from).sum()
    }

    /// Adds the sockets of one of its cgroups.
    pub fn find(&mut self, found: &Backlog) {
        let backlog = &mut self.backlog;
        for side in 0..2 {
            backlog.unread[side] += found.unread[side];
            backlog.unacknowledged[side] += found.unacknowledged[side];
            backlog.stalled_unread[side] += found.stalled_unread[side];
            backlog.stalled_zero_window[side] += found.stalled_zero_window[side];
            backlog.stalled_unacknowledged[side] += found.stalled_unacknowledged[side];
            for state in 0..STATES {
                backlog.states[side][state] += found.states[side][state];
            }
        }
    }

    /// How many processes ended so.
    pub fn exits(&self, how: Exit) -> u64 {
        self.exits[how as usize]
    }

    /// How many accepts failed so.
    pub fn accept_errors(&self, error: AcceptError) -> u64 {
        self.accept_errors[error as usize]
    }
}

fn since(now: &[u32; BUCKETS], last: &[u32; BUCKETS]) -> [u32; BUCKETS] {
    std::array::from_fn(|n| now[n].wrapping_sub(last[n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_what_is_new() {
        let mut last = PointCounters::ZERO;
        last.read_delay[1][3] = u32::MAX;
        last.exits[Exit::Killed as usize] = 2;
        let mut now = last;
        now.read_delay[1][3] = 1;
        now.read_delay_ns[1] = 20_000;
        now.exits[Exit::Killed as usize] = 3;
        let mut inside = Inside::default();
        inside.add(&now, &last);
        assert_eq!(inside.read_delay[1].buckets[3], 2);
        assert_eq!(inside.read_delay[1].sum_us, 20);
        assert_eq!(inside.exits(Exit::Killed), 1);
        assert_eq!(inside.exits(Exit::Exited), 0);
    }

    #[test]
    fn cgroups_of_one_point_are_added_up_and_old_findings_forgotten() {
        let mut inside = Inside::default();
        let mut found = Backlog::ZERO;
        found.unread[0] = 5;
        found.states[1][8] = 1;
        inside.find(&found);
        inside.find(&found);
        assert_eq!((inside.backlog.unread[0], inside.backlog.states[1][8]), (10, 2));
        assert_eq!(STATE_LABELS[8], "close_wait");
        inside.begin();
        assert_eq!(inside.backlog, Backlog::ZERO);
    }
}
