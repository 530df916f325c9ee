//! Steps that run between fork and exec. They are prepared before, so that running them does not allocate.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{chdir, mkdir, pivot_root, sethostname};

use super::mount::Mount;
use super::privileges;
use super::seccomp::Seccomp;

/// One system call, or a few.
#[derive(Debug)]
pub(super) enum Step {
    Unshare(CloneFlags),
    /// Creates a directory, unless it exists.
    Directory(CString),
    /// Creates an empty file, unless it exists.
    File(CString),
    Mount {
        source: CString,
        target: CString,
        kind: Option<CString>,
        flags: MsFlags,
    },
    /// Makes a mount the root, and unmounts the old one.
    Root(CString),
    HostName(String),
    /// Keeps only the capabilities of a mask; with the number of the kernel's last capability.
    Keep(u64, u8),
    NoNewPrivileges,
    /// Installs filters of system calls.
    Seccomp(Seccomp),
}

impl Step {
    pub fn take(&self) -> io::Result<()> {
        match self {
            Self::Unshare(namespaces) => unshare(*namespaces)?,
            Self::Directory(path) => found(mkdir(path.as_c_str(), Mode::from_bits_truncate(0o755)))?,
            Self::File(path) => found(mknod(
                path.as_c_str(),
                SFlag::S_IFREG,
                Mode::from_bits_truncate(0o644),
                0,
            ))?,
            Self::Mount {
                source,
                target,
                kind,
                flags,
            } => mount(
                Some(source.as_c_str()),
                target.as_c_str(),
                kind.as_deref(),
                *flags,
                None::<&CString>.map(CString::as_c_str),
            )?,
            Self::Root(path) => {
                chdir(path.as_c_str())?;
                // This mounts the old root over the new one, where it can be unmounted.
                pivot_root(c".", c".")?;
                umount2(c".", MntFlags::MNT_DETACH)?;
                chdir(c"/")?;
            }
            Self::HostName(name) => sethostname(name)?,
            Self::Keep(mask, last) => privileges::keep(*mask, *last)?,
            Self::NoNewPrivileges => prctl::set_no_new_privs()?,
            Self::Seccomp(filters) => filters.install()?,
        }
        Ok(())
    }
}

fn found(made: Result<(), Errno>) -> Result<(), Errno> {
    match made {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

/// Steps that assemble a container's root.
pub(super) struct Plan {
    root: PathBuf,
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn new(root: &str) -> Self {
        Self {
            root: PathBuf::from(root),
            steps: Vec::new(),
        }
    }

    pub fn then(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Makes mounts private, so that they do not propagate to the node.
    pub fn keep_mounts_to_itself(&mut self) -> Result<()> {
        self.mount(
            Path::new("none"),
            Path::new("/"),
            None,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        )
    }

    /// Mounts a new file system of the given type.
    pub fn file_system(&mut self, kind: &str, target: &str, flags: MsFlags) -> Result<()> {
        let target = self.directory(Path::new(target))?;
        self.mount(Path::new(kind), &target, Some(kind), flags)
    }

    /// Hides a directory by an empty, read-only mount.
    pub fn cover(&mut self, target: &Path) -> Result<()> {
        let target = self.inside(target);
        self.mount(Path::new("tmpfs"), &target, Some("tmpfs"), MsFlags::MS_RDONLY)
    }

    pub fn bind_all(&mut self, mounts: &[Mount]) -> Result<()> {
        mounts
            .iter()
            .try_for_each(|mount| self.bind(&mount.source, &mount.target, mount.read_only))
    }

    /// Bind-mounts a file or directory of the node.
    pub fn bind(&mut self, source: &Path, target: &Path, read_only: bool) -> Result<()> {
        let target = if source.is_dir() {
            self.directory(target)?
        } else {
            self.file(target)?
        };
        self.mount(source, &target, None, MsFlags::MS_BIND | MsFlags::MS_REC)?;
        if read_only {
            self.read_only(&target)?;
        }
        Ok(())
    }

    /// Makes the assembled directory the root.
    pub fn make_it_the_root(&mut self, read_only: bool) -> Result<()> {
        self.then(Step::Root(text(&self.root)?));
        if read_only {
            self.read_only(Path::new("/"))?;
        }
        Ok(())
    }

    /// Makes a bind mount read-only by a remount, as flags are ignored when it is created.
    fn read_only(&mut self, target: &Path) -> Result<()> {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        self.mount(Path::new("none"), target, None, flags)
    }

    fn mount(&mut self, source: &Path, target: &Path, kind: Option<&str>, flags: MsFlags) -> Result<()> {
        self.then(Step::Mount {
            source: text(source)?,
            target: text(target)?,
            kind: kind.map(CString::new).transpose()?,
            flags,
        });
        Ok(())
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn file(&mut self, path: &Path) -> Result<PathBuf> {
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        let path = self.inside(path);
        self.then(Step::File(text(&path)?));
        Ok(path)
    }

    fn directory(&mut self, path: &Path) -> Result<PathBuf> {
        let mut parents: Vec<_> = path.ancestors().map(|parent| self.inside(parent)).collect();
        parents.reverse();
        for parent in &parents {
            self.then(Step::Directory(text(parent)?));
        }
        Ok(self.inside(path))
    }
}

fn text(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
