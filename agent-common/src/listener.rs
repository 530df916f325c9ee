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
    /// Reserved.
    pub reserved: u16,
    /// Connections that wait for `accept`.
    pub queued: u32,
    /// The backlog given to `listen`. The kernel lets one more in.
    pub limit: u32,
}
