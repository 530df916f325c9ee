use crate::BUCKETS;

/// Why an `accept` of a point failed; the index into [`PointCounters::accept_errors`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// The process has as many files open as it may.
    Emfile = 0,
    /// The whole node has.
    Enfile = 1,
    /// No memory for the socket.
    Enomem = 2,
    /// No memory for buffers.
    Enobufs = 3,
    /// The connection was gone before it was accepted.
    Econnaborted = 4,
    /// A rule of the system forbids it.
    Eperm = 5,
    /// Another one.
    Other = 6,
}

/// How many kinds of accept errors there are.
pub const ACCEPT_ERRORS: usize = 7;

impl AcceptError {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; ACCEPT_ERRORS] = [
        Self::Emfile,
        Self::Enfile,
        Self::Enomem,
        Self::Enobufs,
        Self::Econnaborted,
        Self::Eperm,
        Self::Other,
    ];

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

    /// The value of the `error` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Emfile => "EMFILE",
            Self::Enfile => "ENFILE",
            Self::Enomem => "ENOMEM",
            Self::Enobufs => "ENOBUFS",
            Self::Econnaborted => "ECONNABORTED",
            Self::Eperm => "EPERM",
            Self::Other => "other",
        }
    }
}

/// How a process of a point ended; the index into [`PointCounters::exits`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Exited = 0,
    /// By a signal.
    Killed = 1,
    /// By the kernel, as memory ran out.
    OomKilled = 2,
}

/// How many ways to end there are.
pub const EXITS: usize = 3;

impl Exit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; EXITS] = [Self::Exited, Self::Killed, Self::OomKilled];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::OomKilled => "oom_killed",
        }
    }
}

/// What the kernel counts, on one processor, for the processes and sockets of one cgroup of a point.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointCounters<L = u64, W = u32> {
    /// Sums of the durations in `read_delay`, in nanoseconds, by [`crate::Role`]: client, server.
    pub read_delay_ns: [L; 2],
    /// The same of `forward_delay`, by the role of the socket that was written to.
    pub forward_delay_ns: [L; 2],
    /// Sum of the durations in `run_queue`, in nanoseconds.
    pub run_queue_ns: L,
    /// Processes that began as the point.
    pub starts: L,
    /// Processes that ended, by [`Exit`].
    pub exits: [L; EXITS],
    /// Failed `accept` calls by [`AcceptError`], while they are watched.
    pub accept_errors: [L; ACCEPT_ERRORS],
    /// From data coming in on a socket to its being read, by role and [`crate::bucket`].
    pub read_delay: [[W; BUCKETS]; 2],
    /// From a read to the next write of the same thread to another socket.
    pub forward_delay: [[W; BUCKETS]; 2],
    /// How long threads that were ready to run waited for a processor.
    pub run_queue: [W; BUCKETS],
}

impl PointCounters {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        read_delay_ns: [0; 2],
        forward_delay_ns: [0; 2],
        run_queue_ns: 0,
        starts: 0,
        exits: [0; EXITS],
        accept_errors: [0; ACCEPT_ERRORS],
        read_delay: [[0; BUCKETS]; 2],
        forward_delay: [[0; BUCKETS]; 2],
        run_queue: [0; BUCKETS],
    };
}

/// More than there are TCP states, whose numbers begin with 1 (`include/net/tcp_states.h`); a power of two.
pub const STATES: usize = 16;

/// The sockets of one cgroup of a point as one walk of the sampler found them, by [`crate::Role`]: client, server.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog<L = u64, W = u32> {
    /// Bytes that have come in and were not read.
    pub unread: [L; 2],
    /// Bytes that were written and the peer has not acknowledged.
    pub unacknowledged: [L; 2],
    /// Connections with unread bytes of which none was read since the last walk.
    pub stalled_unread: [W; 2],
    /// Connections with something to send to a peer that has closed its window.
    pub stalled_zero_window: [W; 2],
    /// Connections of whose sent bytes none was acknowledged since the last walk.
    pub stalled_unacknowledged: [W; 2],
    /// Sockets by TCP state.
    pub states: [[W; STATES]; 2],
}

impl Backlog {
    /// Nothing found.
    pub const ZERO: Self = Self {
        unread: [0; 2],
        unacknowledged: [0; 2],
        stalled_unread: [0; 2],
        stalled_zero_window: [0; 2],
        stalled_unacknowledged: [0; 2],
        states: [[0; STATES]; 2],
    };
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

    #[test]
    fn there_is_no_padding() {
        assert_eq!(
            size_of::<PointCounters>(),
            8 * (2 + 2 + 1 + 1 + EXITS + ACCEPT_ERRORS) + 4 * BUCKETS * 5
        );
        assert_eq!(size_of::<Backlog>(), 8 * 4 + 4 * (6 + 2 * STATES));
    }
}
