use crate::{
    AGES, BUCKETS, Lifetimes, READS_WORDS,
    declare::{counters, labels},
};

labels! {
    /// Why an `accept` of a point failed: the `error` label, and the index into [`Accepts::errors`].
    AcceptError: u8 {
        /// The process has reached its limit of open files.
        Emfile = "EMFILE",
        /// The node has reached its limit of open files.
        Enfile = "ENFILE",
        /// No memory for the socket.
        Enomem = "ENOMEM",
        /// No memory for buffers.
        Enobufs = "ENOBUFS",
        /// The connection was aborted before it was accepted.
        Econnaborted = "ECONNABORTED",
        /// The system forbids it, for example by a firewall rule.
        Eperm = "EPERM",
        /// Any other error number.
        Other = "other",
    }
}

impl AcceptError {
    /// The kind of an errno (positive, `asm-generic/errno*.h`); `None` if it is not an error of the point: no connection was
    /// waiting, or a signal interrupted the call.
    #[inline(always)]
    #[must_use]
    pub const fn of(errno: i64) -> Option<Self> {
        const EINTR: i64 = 4;
        const EAGAIN: i64 = 11;
        // Kernel-internal numbers of system calls that are restarted after a signal.
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
        /// It exited by itself.
        Exited = "exited",
        /// It was killed by a signal.
        Killed = "killed",
        /// It was killed by the kernel's OOM killer.
        OomKilled = "oom_killed",
    }
}

counters! {
    /// How long data waits in a point: sums in nanoseconds, and histograms by [`crate::bucket`]; each by [`crate::Role`] (client,
    /// server).
    Delays<L = u64, W = u32> {
        /// Sums of the durations in `read`.
        read_ns: [L; 2],
        /// Sums of the durations in `forward`.
        forward_ns: [L; 2],
        /// Read delay: from the arrival of data on a socket to the read.
        read: [[W; BUCKETS]; 2],
        /// Forward delay: from a read to the next write of the same thread to another socket, by the role of that socket.
        forward: [[W; BUCKETS]; 2],
    }
}

counters! {
    /// How long threads of a point that were ready to run waited for a CPU (run-queue delay).
    Scheduling<L = u64, W = u32> {
        /// Sum of the durations in `run_queue`, in nanoseconds.
        run_queue_ns: L,
        /// Durations of the waits, by [`crate::bucket`].
        run_queue: [W; BUCKETS],
    }
}

counters! {
    /// Starts and exits of a point's processes.
    Processes<L = u64> {
        /// Processes that started as the point's own, rather than as its children.
        starts: L,
        /// Processes that exited, by [`Exit`].
        exits: [L; Exit::COUNT],
    }
}

counters! {
    /// Calls of `accept` by a point.
    Accepts<L = u64> {
        /// Failed calls, by [`AcceptError`], while the program is attached.
        errors: [L; AcceptError::COUNT],
    }
}

counters! {
    /// The counters of one CPU for the processes and sockets of one cgroup of a point: a group for each signal.
    PointCounters<L = u64, W = u32> {
        /// Read and forward delay of data.
        delays: Delays<L, W>,
        /// Run-queue delay of threads.
        scheduling: Scheduling<L, W>,
        /// Starts and exits of processes.
        processes: Processes<L>,
        /// Failed calls of `accept`.
        accepts: Accepts<L>,
        /// Lifetimes of connections.
        lifetimes: Lifetimes<L, W>,
    }
}

/// Size of an array by TCP state; a power of two above the number of states, which start at 1 (`include/net/tcp_states.h`).
pub const STATES: usize = 16;

counters! {
    /// The sockets of one cgroup of a point as one walk over open files found them, by [`crate::Role`]: client, server.
    Backlog<L = u64, W = u32> {
        /// Bytes that were received and not read.
        unread: [L; 2],
        /// Bytes that were written and not acknowledged by the peer.
        unacknowledged: [L; 2],
        /// Connections with unread bytes of which none was read since the last walk.
        stalled_unread: [W; 2],
        /// Connections with data to send to a peer that has closed its receive window.
        stalled_zero_window: [W; 2],
        /// Connections with data in flight of which nothing was acknowledged since the last walk.
        stalled_unacknowledged: [W; 2],
        /// Sockets by TCP state.
        states: [[W; STATES]; 2],
        /// Established connections by [`crate::age_class`].
        ages: [[W; AGES]; 2],
    }
}

/// A thread of a point.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task<L = u64, W = u32, R = [u64; READS_WORDS]> {
    /// The id of the point's cgroup that it is counted under.
    pub cgroup: L,
    /// Since when it is ready to run without running, in nanoseconds of `CLOCK_MONOTONIC`; 0 when it runs or sleeps.
    pub ready_ns: L,
    /// When it last read from a socket, in nanoseconds of `CLOCK_MONOTONIC`; 0 when it has written to another socket since.
    pub read_ns: L,
    /// The address of that socket in the kernel.
    pub read_from: L,
    /// The id of its process (`tgid`).
    pub process: W,
    /// Bits: [`Task::MAIN`] and others.
    pub flags: W,
    /// The number of the last walk over open files that met a connection of it.
    pub walk: W,
    /// The connections that walk met which the point had accepted and from which this thread was the last one to read.
    pub connections: W,
    /// What it has read and not forwarded yet; only the programs know its parts.
    pub reads: R,
}

impl Task {
    /// A thread of which nothing is known.
    pub const ZERO: Self = Self {
        cgroup: 0,
        ready_ns: 0,
        read_ns: 0,
        read_from: 0,
        process: 0,
        flags: 0,
        walk: 0,
        connections: 0,
        reads: [0; READS_WORDS],
    };
    /// Its process is the one that the point was started as, rather than a child of it.
    pub const MAIN: u32 = 1;
    /// It became ready by being woken up, not by being preempted.
    pub const WOKEN: u32 = 2;
    /// Its group was throttled by its CFS quota while the thread was ready.
    pub const THROTTLED: u32 = 4;
}

/// The key of a table of counts by point and by another number with many values.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tally {
    /// The id of the point's cgroup.
    pub point: u64,
    /// The other number; its meaning depends on the signal.
    pub what: u64,
}

/// What dropped packets are counted by: the kernel's reason (`enum skb_drop_reason`), and the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop;

impl Drop {
    /// Direction: to the point.
    pub const RECEIVED: u32 = 0;
    /// Direction: from the point.
    pub const SENT: u32 = 1;

    /// Packs reason and direction into a [`Tally::what`].
    #[inline(always)]
    #[must_use]
    pub const fn pack(reason: u32, direction: u32) -> u64 {
        (direction as u64) << 32 | reason as u64
    }

    /// Unpacks reason and direction from a [`Tally::what`].
    #[must_use]
    pub const fn unpack(what: u64) -> (u32, u32) {
        (what as u32, (what >> 32) as u32)
    }
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
