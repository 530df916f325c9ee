//! Where maps, programs and links have names, so that the kernel goes on counting while no agent runs.
//!
//! ```text
//! /sys/fs/bpf/narrows/                one agent at a time holds a lock on it
//!   <layout>/                         a set of maps: see `layout`
//!     maps/<MAP>
//!     epochs/<epoch>/programs/<name>  programs that were made from the same code, offsets and settings
//!     epochs/<epoch>/links/<name>     present while the program is attached
//!     state                           what the agent has made of what it has read, so that the next one goes on from there
//! ```
//!
//! Programs count when the map `CONTROL` names their epoch; until then a directory is half made, and is removed.

use anyhow::Context;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::Uid,
};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Where they are, unless the configuration says otherwise.
pub const PINS: &str = "/sys/fs/bpf/narrows";

/// Why a directory is of no use.
#[derive(Debug)]
pub enum Unusable {
    /// Another agent uses it.
    Busy(String),
    /// Nothing can have a name there.
    Refused(String),
}

/// The directory, which no other agent uses meanwhile.
#[derive(Debug)]
pub struct Pins {
    root: PathBuf,
    _lock: Flock<File>,
}

/// The directory of one layout.
#[derive(Clone, Debug)]
pub struct LayoutDir(PathBuf);

/// The directory of the programs of one epoch.
#[derive(Clone, Debug)]
pub struct EpochDir(PathBuf);

impl Pins {
    /// Makes the directory when it is not there yet, and locks it.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(root: &Path) -> Result<Self, Unusable> {
        let refused = |why: String| Unusable::Refused(format!("{} cannot be used: {why}", root.display()));
        let parent = root.parent().unwrap_or(root);
        match statfs(parent).map(|found| found.filesystem_type()) {
            Ok(BPF_FS_MAGIC) => {}
            Ok(_) => {
                return Err(refused(format!(
                    "{} is no BPF file system (mount -t bpf bpf {0})",
                    parent.display()
                )));
            }
            Err(error) => return Err(refused(format!("{}: {error}", parent.display()))),
        }
        make(root).map_err(|error| refused(error.to_string()))?;
        let found = fs::symlink_metadata(root).map_err(|error| refused(error.to_string()))?;
        if !found.is_dir() || found.uid() != Uid::effective().as_raw() || found.mode() & 0o022 != 0 {
            return Err(refused(format!(
                "it belongs to user {} and has mode {:o}; it must be a directory of the agent's user that nobody else may write to",
                found.uid(),
                found.mode() & 0o7777
            )));
        }
        let file = File::open(root).map_err(|error| refused(error.to_string()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err((_, Errno::EWOULDBLOCK)) => Err(Unusable::Busy(format!(
                "another agent uses {}: end it first, or run this one with --no-pin",
                root.display()
            ))),
            Err((_, error)) => Err(refused(format!("it cannot be locked: {error}"))),
        }
    }

    /// The directory of a layout.
    pub fn layout(&self, name: &str) -> LayoutDir {
        LayoutDir(self.root.join(name))
    }

    /// All layouts that are there.
    pub fn layouts(&self) -> Vec<LayoutDir> {
        let directories = names(&self.root).into_iter();
        directories.map(|name| LayoutDir(self.root.join(name))).collect()
    }

    /// Removes everything, the directory, too.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(self) -> anyhow::Result<()> {
        for layout in self.layouts() {
            layout.remove()?;
        }
        fs::remove_dir(&self.root).with_context(|| format!("{} cannot be removed", self.root.display()))
    }
}

impl LayoutDir {
    /// Makes the directory, with those for maps and epochs.
    ///
    /// # Errors
    /// The file system's error.
    pub fn make(&self) -> io::Result<()> {
        make(&self.0)?;
        make(&self.0.join("maps"))?;
        make(&self.0.join("epochs"))
    }

    /// Where this layout has its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Where a map is.
    pub fn map(&self, name: &str) -> PathBuf {
        self.0.join("maps").join(name)
    }

    /// Where the state is.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Where the state that comes is.
    pub fn next_state(&self) -> PathBuf {
        self.0.join("next_state")
    }

    /// The programs of an epoch.
    pub fn epoch(&self, epoch: u32) -> EpochDir {
        EpochDir(self.0.join("epochs").join(format!("{epoch:08x}")))
    }

    /// All epochs that are there.
    pub fn epochs(&self) -> Vec<u32> {
        let names = names(&self.0.join("epochs")).into_iter();
        names.filter_map(|name| u32::from_str_radix(&name, 16).ok()).collect()
    }

    /// Removes it and everything in it: programs are detached, maps are freed.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

impl EpochDir {
    /// Makes the directory, with those for programs and links.
    ///
    /// # Errors
    /// The file system's error.
    pub fn make(&self) -> io::Result<()> {
        make(&self.0)?;
        make(&self.0.join("programs"))?;
        make(&self.0.join("links"))
    }

    /// Where a program is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("programs").join(name)
    }

    /// Where a program's link is.
    pub fn link(&self, name: &str) -> PathBuf {
        self.0.join("links").join(name)
    }

    /// Removes the names of these programs, and so detaches them.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("{} cannot be removed", self.0.display()))
    }
}

/// Makes a directory for root alone; one that is there is well.
fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What is in a directory; nothing when it cannot be read.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
