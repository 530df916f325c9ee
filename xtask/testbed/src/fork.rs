//! The moment between fork and exec.
//!
//! A child begins in the cgroup that this process is in, and that may be one that another thread has
//! [entered](crate::cgroup::Cgroup::enter) for a while: all threads of a process are in the same. Before exec the child goes
//! to where it belongs. Whoever lets go of a cgroup has to wait for that, or its end would be the child's, too.

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

/// Shared by those who start a child, until it has reached exec.
static UNDER_WAY: RwLock<()> = RwLock::new(());

/// Starts `command`, whose child has to go to its own cgroup before exec.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _under_way = UNDER_WAY.read().unwrap_or_else(PoisonError::into_inner);
    // Comes back when exec is done, or has failed.
    #[expect(clippy::disallowed_methods, reason = "this is where it is made harmless")]
    command.spawn()
}

/// Returns when all children that have begun before are where they belong.
pub(crate) fn wait_for_exec() {
    drop(UNDER_WAY.write().unwrap_or_else(PoisonError::into_inner));
}
