//! What the kernel tells of cgroups.

use agent_common::{CGROUP_PATH, CgroupEvent};

/// A cgroup came or went.
pub enum CgroupChange<'a> {
    /// It was made, with this path below the root; `None` when the path was too long to be told.
    Made(u64, Option<&'a str>),
    /// It was removed.
    Gone(u64),
}

impl<'a> CgroupChange<'a> {
    /// Reads an event of the kernel programs.
    pub(super) fn of(event: &'a CgroupEvent) -> Self {
        if event.made == 0 {
            return Self::Gone(event.id);
        }
        // The final zero byte is counted; an error of the helper is negative, that is, large.
        let length = event.length as usize;
        let path = (1..CGROUP_PATH)
            .contains(&length)
            .then(|| std::str::from_utf8(&event.path[..length - 1]).ok());
        Self::Made(event.id, path.flatten())
    }
}
