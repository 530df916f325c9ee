//! Named network namespaces, and the fabric that joins them.

mod fabric;
mod steering;

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

pub use fabric::Fabric;

use crate::command;
use crate::isolation::NETNS_DIRECTORY;

/// A named network namespace; removed when the guard is dropped. Call [`isolate`](crate::isolate) first.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
    file: File,
    inode: u32,
}

impl Netns {
    /// Creates the namespace `/run/netns/<name>`, with loopback up.
    pub fn new(name: &str) -> Result<Self> {
        let path = Path::new(NETNS_DIRECTORY).join(name);
        fs::create_dir_all(NETNS_DIRECTORY)?;
        File::create_new(&path).with_context(|| format!("create {}", path.display()))?;
        // From here on, an error drops `made` and with it the mount point.
        let made = MountPoint(&path);
        // In a separate thread, because unshare moves the calling thread.
        thread::scope(|scope| {
            scope
                .spawn(|| -> Result<()> {
                    unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
                    let here = Path::new("/proc/thread-self/ns/net");
                    mount(Some(here), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                        .with_context(|| format!("bind a namespace on {}", path.display()))
                })
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        let file = File::open(&path)?;
        let inode = u32::try_from(file.metadata()?.ino()).context("a namespace inode beyond 32 bits")?;
        ip(name, "link set lo up")?;
        std::mem::forget(made);
        Ok(Self {
            name: name.to_owned(),
            path,
            file,
            inode,
        })
    }

    /// The name, as in `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bind mount, `/run/netns/<name>`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's inode number of the namespace (`ns.inum`).
    pub fn inode(&self) -> u32 {
        self.inode
    }

    /// The open namespace, to enter it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on a thread inside the namespace; a panic in it continues here.
    ///
    /// Start processes with [`process::spawn`](crate::process::spawn) instead: they die with the thread.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        run_in(&self.file, work)
    }

    /// Runs a shell command line inside the namespace and returns its stdout; an error carries its stderr.
    pub fn exec(&self, line: &str) -> Result<String> {
        let namespace = self.file.try_clone()?;
        let mut command = Command::new("sh");
        command.args(["-ec", line]);
        let enter = move || Ok(setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?);
        // SAFETY: setns is a plain system call, which is allowed between fork and exec.
        unsafe { command.pre_exec(enter) };
        command::run(&mut command, None).map_err(|error| anyhow!("in namespace {}: {error:#}", self.name))
    }

    /// Writes a kernel setting of the namespace, e.g. `net/ipv4/tcp_syn_retries`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.run(|| fs::write(&path, value))
            .with_context(|| format!("write {value} to {}", path.display()))
    }
}

/// [`Netns::run`] for an open namespace.
pub(crate) fn run_in<R: Send>(namespace: &File, work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).expect("root may enter its own namespace");
                work()
            })
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(MountPoint(&self.path));
    }
}

/// The file that a namespace is mounted on; unmounted and removed when dropped.
struct MountPoint<'a>(&'a Path);

impl Drop for MountPoint<'_> {
    fn drop(&mut self) {
        let _not_mounted = umount2(self.0, MntFlags::MNT_DETACH);
        let _gone = fs::remove_file(self.0);
    }
}

/// Runs a batch of `ip` commands in the namespace `name`.
fn ip(name: &str, batch: &str) -> Result<()> {
    command::run(Command::new("ip").args(["-n", name, "-batch", "-"]), Some(batch))?;
    Ok(())
}
