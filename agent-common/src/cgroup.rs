/// Longest path that a [`CgroupEvent`] holds, with its final zero byte. The deepest ones of nested kubelets have 300 bytes.
pub const CGROUP_PATH: usize = 496;

/// A cgroup of the cgroup2 hierarchy was created or removed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CgroupEvent {
    /// Its id; the kernel never reuses it.
    pub id: u64,
    /// 1 when it was created, 0 when it was removed.
    pub made: u32,
    /// Bytes of `path` in use, including the final zero byte; [`CGROUP_PATH`] when the path did not fit; 0 for a removed
    /// cgroup.
    pub length: u32,
    /// Its path below the root of the hierarchy.
    pub path: [u8; CGROUP_PATH],
}
