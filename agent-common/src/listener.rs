/// A listening socket, as a walk over open files found it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSample {
    /// Id of the cgroup that owns the socket.
    pub cgroup: u64,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Its port, host byte order.
    pub port: u16,
    /// First ephemeral port of its network namespace; 0 when it is not known.
    pub first_port: u16,
    /// Connections that wait for `accept`.
    pub queued: u32,
    /// The backlog given to `listen`. The kernel admits one connection more.
    pub limit: u32,
    /// How long the oldest of them has waited, in microseconds; 0 when none waits, [`ListenerSample::UNKNOWN`] when that is
    /// not known.
    pub oldest_us: u32,
    /// Last ephemeral port of its network namespace; 0 when it is not known.
    pub last_port: u16,
    /// Zero, so that the structure has no implicit padding.
    pub reserved: u16,
    /// The id of the process (`tgid`) that has it open; 0 when it is not known.
    pub process: u32,
    /// 1 when the walk has met the socket before, in another process; only for points.
    pub again: u32,
}

impl ListenerSample {
    /// The value of [`ListenerSample::oldest_us`] when it is not known.
    pub const UNKNOWN: u32 = u32::MAX;
}
