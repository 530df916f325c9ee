//! Private views of `/run/netns` and of the BPF file system, so that nothing named there outlives the process.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::{fs, io};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::sync::lock;

/// Mount namespaces made by [`isolate`], by inode: a thread started from an isolated one is already inside.
static ISOLATED: Mutex<Option<HashSet<u64>>> = Mutex::new(None);

/// Where `ip` looks for named network namespaces.
pub(crate) const NETNS_DIRECTORY: &str = "/run/netns";

/// The directory in which programs and maps are pinned.
const BPF_DIRECTORY: &str = "/sys/fs/bpf";

/// Gives the calling thread a private mount namespace with an empty `/run/netns` and an empty `/sys/fs/bpf`.
///
/// The kernel drops the mounts with the last process of the mount namespace, so named network namespaces and pinned
/// programs cannot be left behind, not even by SIGKILL. Threads and processes that this thread starts afterwards share the view. A
/// second call on the same thread, or on one started from it, changes nothing.
pub fn isolate() -> io::Result<()> {
    require_root()?;
    let mut isolated = lock(&ISOLATED);
    let isolated = isolated.get_or_insert_default();
    if isolated.contains(&mount_namespace()?) {
        return Ok(());
    }
    own_mounts()?;
    fs::create_dir_all(NETNS_DIRECTORY)?;
    mount(
        Some("tmpfs"),
        NETNS_DIRECTORY,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )?;
    if Path::new(BPF_DIRECTORY).exists() {
        mount(
            Some("bpf"),
            BPF_DIRECTORY,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=700"),
        )?;
    }
    isolated.insert(mount_namespace()?);
    Ok(())
}

/// Gives the calling thread mounts of its own.
pub(crate) fn own_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Without this, mounts would propagate to the host, as `/` is mounted shared.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?)
}

/// Checks that the process may create namespaces and cgroups; the error says what to do.
pub fn require_root() -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let sentence = "namespaces, cgroups and kernel programs need root: run it as root";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence))
}

/// The inode that identifies the calling thread's mount namespace.
fn mount_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/mnt")?.ino())
}
