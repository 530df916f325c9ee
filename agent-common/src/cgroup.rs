/// Longest path that a [`CgroupEvent`] holds, with its final zero byte. The deepest ones of nested kubelets have 300 bytes.
pub const CGROUP_PATH: usize = 496;

/// A cgroup of the cgroup2 hierarchy came or went.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CgroupEvent {
    /// Its id; never given to another one.
    pub id: u64,
    /// 1 when it was made, 0 when it was removed.
    pub made: u32,
    /// Bytes of `path` in use, its final zero byte included; [`CGROUP_PATH`] when it did not fit; 0 for one that was
    /// removed.
    pub length: u32,
    /// Its path below the root of the hierarchy.
    pub path: [u8; CGROUP_PATH],
}
