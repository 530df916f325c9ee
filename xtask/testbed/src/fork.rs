//! The moment between fork and exec.
//!
//! A child starts in the cgroup of this process, which may be one that another thread has
//! [entered](crate::cgroup::Cgroup::enter) temporarily: all threads of a process are in the same cgroup. Before exec the child
//! moves to its own cgroup. Before a cgroup is removed, this must be awaited, as the removal kills all processes in it.

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

/// Held for reading while a child is being started, until it has reached exec.
static UNDER_WAY: RwLock<()> = RwLock::new(());

/// Starts `command`, whose child must move to its own cgroup before exec.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _under_way = UNDER_WAY.read().unwrap_or_else(PoisonError::into_inner);
    // Returns when exec has succeeded or failed.
    #[expect(clippy::disallowed_methods, reason = "this is where it is made harmless")]
    command.spawn()
}

/// Returns when all children that were started before have reached exec.
pub(crate) fn wait_for_exec() {
    drop(UNDER_WAY.write().unwrap_or_else(PoisonError::into_inner));
}
