//! Events about cgroups.

use agent_common::{CGROUP_PATH, CgroupEvent};

/// The creation or removal of a cgroup.
pub enum CgroupChange<'a> {
    /// It was created, with this path below the root; `None` when the path was too long for the event.
    Made(u64, Option<&'a str>),
    /// The cgroup with this id was removed.
    Gone(u64),
}

impl<'a> CgroupChange<'a> {
    /// Decodes an event of the kernel programs.
    pub(super) fn of(event: &'a CgroupEvent) -> Self {
        if event.made == 0 {
            return Self::Gone(event.id);
        }
        // The length includes the final zero byte; an error of the helper is negative, that is, a large number here.
        let length = event.length as usize;
        let path = (1..CGROUP_PATH)
            .contains(&length)
            .then(|| std::str::from_utf8(&event.path[..length - 1]).ok());
        Self::Made(event.id, path.flatten())
    }
}
