/// A listening socket as the sampler found it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSample {
    /// Id of the cgroup that holds the socket.
    pub cgroup: u64,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Its port, host byte order.
    pub port: u16,
    /// First of the ports that its namespace gives to connections; 0 when it is not known.
    pub first_port: u16,
    /// Connections that wait for `accept`.
    pub queued: u32,
    /// The backlog given to `listen`. The kernel lets one more in.
    pub limit: u32,
    /// How long the first of them has waited, in microseconds; 0 when none waits, [`ListenerSample::UNKNOWN`] when that is
    /// not known.
    pub oldest_us: u32,
    /// Last of the ports that its namespace gives to connections.
    pub last_port: u16,
    /// Reserved.
    pub reserved: u16,
}

impl ListenerSample {
    /// See [`ListenerSample::oldest_us`].
    pub const UNKNOWN: u32 = u32::MAX;
}
