//! The directory where maps, programs and links are pinned, so that the kernel continues to count while no agent runs.
//!
//! ```text
//! /sys/fs/bpf/narrows/                one agent at a time holds a lock on it
//!   <layout>/                         a set of maps: see `layout`
//!     maps/<MAP>
//!     epochs/<epoch>/programs/<name>  programs built from the same code, offsets and settings
//!     epochs/<epoch>/links/<name>     present while the program is attached
//!     state                           the agent's state, from which the next one continues
//! ```
//!
//! Programs count once the map `CONTROL` has their epoch; until then a directory is incomplete, and is removed.

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

/// The default path of the directory.
pub const PINS: &str = "/sys/fs/bpf/narrows";

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// Another agent uses it.
    Busy(String),
    /// Nothing can be pinned there.
    Refused(String),
}

/// The directory, locked against other agents.
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
    /// Creates the directory if it does not exist, and locks it.
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

    /// All existing layouts.
    pub fn layouts(&self) -> Vec<LayoutDir> {
        let directories = names(&self.root).into_iter();
        directories.map(|name| LayoutDir(self.root.join(name))).collect()
    }

    /// Removes everything, including the directory.
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
    /// Creates the directory, with those for maps and epochs.
    ///
    /// # Errors
    /// The file system's error.
    pub fn make(&self) -> io::Result<()> {
        make(&self.0)?;
        make(&self.0.join("maps"))?;
        make(&self.0.join("epochs"))
    }

    /// The path of this layout's directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether the directory exists.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// The path of a pinned map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.0.join("maps").join(name)
    }

    /// The path of the stored state.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// The path of the state that is being written.
    pub fn next_state(&self) -> PathBuf {
        self.0.join("next_state")
    }

    /// The directory of an epoch's programs.
    pub fn epoch(&self, epoch: u32) -> EpochDir {
        EpochDir(self.0.join("epochs").join(format!("{epoch:08x}")))
    }

    /// All existing epochs.
    pub fn epochs(&self) -> Vec<u32> {
        let names = names(&self.0.join("epochs")).into_iter();
        names.filter_map(|name| u32::from_str_radix(&name, 16).ok()).collect()
    }

    /// Removes the directory and its contents: programs are detached, maps are freed.
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
    /// Creates the directory, with those for programs and links.
    ///
    /// # Errors
    /// The file system's error.
    pub fn make(&self) -> io::Result<()> {
        make(&self.0)?;
        make(&self.0.join("programs"))?;
        make(&self.0.join("links"))
    }

    /// The path of a pinned program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("programs").join(name)
    }

    /// The path of a program's pinned link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.0.join("links").join(name)
    }

    /// Unpins these programs, which detaches them.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("{} cannot be removed", self.0.display()))
    }
}

/// Creates a directory that only root can access; an existing one is not an error.
fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The names in a directory; empty when it cannot be read.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
