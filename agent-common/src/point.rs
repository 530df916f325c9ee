use crate::{
    BUCKETS,
    declare::{counters, labels},
};

labels! {
    /// Why an `accept` of a point failed: the `error` label, and the index into [`Accepts::errors`].
    AcceptError: u8 {
        /// The process has as many files open as it may.
        Emfile = "EMFILE",
        /// The whole node has.
        Enfile = "ENFILE",
        /// No memory for the socket.
        Enomem = "ENOMEM",
        /// No memory for buffers.
        Enobufs = "ENOBUFS",
        /// The connection was gone before it was accepted.
        Econnaborted = "ECONNABORTED",
        /// A rule of the system forbids it.
        Eperm = "EPERM",
        /// Any other error.
        Other = "other",
    }
}

impl AcceptError {
    /// The kind of an errno (positive, `asm-generic/errno*.h`); `None` for what is no error of the point: nothing was there
    /// to accept, or a signal came.
    #[inline(always)]
    #[must_use]
    pub const fn of(errno: i64) -> Option<Self> {
        const EINTR: i64 = 4;
        const EAGAIN: i64 = 11;
        // Kernel-internal numbers of system calls that begin again after a signal.
        const RESTART: core::ops::RangeInclusive<i64> = 512..=516;
        Some(match errno {
            EINTR | EAGAIN => return None,
            n if n <= 0 || (n >= *RESTART.start() && n <= *RESTART.end()) => return None,
            24 => Self::Emfile,
            23 => Self::Enfile,
            12 => Self::Enomem,
            105 => Self::Enobufs,
            103 => Self::Econnaborted,
            1 => Self::Eperm,
            _ => Self::Other,
        })
    }
}

labels! {
    /// How a process of a point ended: the `reason` label, and the index into [`Processes::exits`].
    Exit: u8 {
        /// By itself.
        Exited = "exited",
        /// By a signal.
        Killed = "killed",
        /// By the kernel, as memory ran out.
        OomKilled = "oom_killed",
    }
}

counters! {
    /// How long data waits in a point: durations in nanoseconds, and as histograms by [`crate::bucket`]; by [`crate::Role`] (client,
    /// server).
    Delays<L = u64, W = u32> {
        /// Sums of the durations in `read`.
        read_ns: [L; 2],
        /// Sums of the durations in `forward`.
        forward_ns: [L; 2],
        /// From data coming in on a socket to its being read.
        read: [[W; BUCKETS]; 2],
        /// From a read to the next write of the same thread to another socket, by the role of that socket.
        forward: [[W; BUCKETS]; 2],
    }
}

counters! {
    /// How long threads of a point that were ready to run waited for a processor.
    Scheduling<L = u64, W = u32> {
        /// Sum of the durations in `run_queue`, in nanoseconds.
        run_queue_ns: L,
        /// By [`crate::bucket`].
        run_queue: [W; BUCKETS],
    }
}

counters! {
    /// Processes of a point that began and ended.
    Processes<L = u64> {
        /// Those that began as the point.
        starts: L,
        /// Those that ended, by [`Exit`].
        exits: [L; Exit::COUNT],
    }
}

counters! {
    /// Calls of `accept`.
    Accepts<L = u64> {
        /// Those that failed, by [`AcceptError`], while they are watched.
        errors: [L; AcceptError::COUNT],
    }
}

counters! {
    /// What the kernel counts, on one processor, for the processes and sockets of one cgroup of a point: a group for each signal.
    PointCounters<L = u64, W = u32> {
        /// How long data waits.
        delays: Delays<L, W>,
        /// How long threads wait.
        scheduling: Scheduling<L, W>,
        /// Processes that begin and end.
        processes: Processes<L>,
        /// Failed accepts.
        accepts: Accepts<L>,
    }
}

/// More than there are TCP states, whose numbers begin with 1 (`include/net/tcp_states.h`); a power of two.
pub const STATES: usize = 16;

counters! {
    /// The sockets of one cgroup of a point as one walk over open files found them, by [`crate::Role`]: client, server.
    Backlog<L = u64, W = u32> {
        /// Bytes that have come in and were not read.
        unread: [L; 2],
        /// Bytes that were written and the peer has not acknowledged.
        unacknowledged: [L; 2],
        /// Connections with unread bytes of which none was read since the last walk.
        stalled_unread: [W; 2],
        /// Connections with something to send to a peer that has closed its window.
        stalled_zero_window: [W; 2],
        /// Connections of whose sent bytes none was acknowledged since the last walk.
        stalled_unacknowledged: [W; 2],
        /// Sockets by TCP state.
        states: [[W; STATES]; 2],
    }
}

/// A thread of a point.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task<L = u64, W = u32> {
    /// The cgroup it is counted under.
    pub cgroup: L,
    /// Since when it is ready to run without running, boot clock; 0 when it runs or sleeps.
    pub ready_ns: L,
    /// When it last read from a socket and has not written to another one since; 0: never.
    pub read_ns: L,
    /// Which socket that was.
    pub read_from: L,
    /// Its process, as `tgid`.
    pub process: W,
    /// [`Task::MAIN`] and others.
    pub flags: W,
}

impl Task {
    /// Its process is the one that the point was started as, not one that it started.
    pub const MAIN: u32 = 1;
    /// It became ready by being woken up, not by being interrupted.
    pub const WOKEN: u32 = 2;
    /// Its group had used up its share of processor time while it was ready.
    pub const THROTTLED: u32 = 4;
}

/// Who ran while a thread of a point was ready to run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Preemption {
    /// The point's cgroup.
    pub point: u64,
    /// The other one's, on cgroup2; 0 for the kernel's own threads.
    pub by: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_accept_is_no_error() {
        assert_eq!([0, 4, 11, 512, -1].map(AcceptError::of), [None; 5]);
        assert_eq!(AcceptError::of(24), Some(AcceptError::Emfile));
        assert_eq!(AcceptError::of(71), Some(AcceptError::Other));
    }
}
