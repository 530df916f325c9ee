//! Loaded programs of tracepoints and cgroups: attaching, detaching, and pinning them so that they outlive the agent.

use super::{bpf, pins::EpochDir};
use crate::program::{CgroupHook, Hook, Program};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// A program, and its link while it is attached.
struct Probe {
    program: OwnedFd,
    hook: Hook,
    link: Option<OwnedFd>,
}

impl Probe {
    fn attach(&self, cgroups: &Path) -> anyhow::Result<OwnedFd> {
        let program = self.program.as_fd();
        let link = match self.hook {
            Hook::Cgroups(hook) => {
                let root = File::open(cgroups).with_context(|| format!("cannot open {}", cgroups.display()))?;
                let hook = match hook {
                    CgroupHook::PeerName4 => bpf::PEER_NAME_4,
                    CgroupHook::PeerName6 => bpf::PEER_NAME_6,
                };
                bpf::attach_to_cgroup(program, root.as_fd(), hook)
            }
            _ => bpf::attach_tracepoint(program),
        };
        Ok(link?)
    }
}

/// The programs by name, attached or not.
pub struct Probes {
    probes: BTreeMap<&'static str, Probe>,
    names: Option<EpochDir>,
    /// Where the cgroup2 tree is mounted.
    cgroups: PathBuf,
}

impl Probes {
    /// No programs yet. With `names` they live until they are unpinned, otherwise until this is dropped.
    /// `cgroups` is where the cgroup2 tree is mounted.
    pub const fn new(names: Option<EpochDir>, cgroups: PathBuf) -> Self {
        Self {
            probes: BTreeMap::new(),
            names,
            cgroups,
        }
    }

    /// Adds a loaded program. It is pinned when it continues without an agent.
    ///
    /// # Errors
    /// The system call's error.
    pub fn add(&mut self, declared: &Program, program: OwnedFd) -> anyhow::Result<()> {
        let name = declared.name;
        if let Some(names) = self.names.as_ref().filter(|_| declared.is_lasting()) {
            bpf::pin(program.as_fd(), &names.program(name))
                .with_context(|| format!("{name} cannot be given a name"))?;
        }
        self.insert(declared, program, None);
        Ok(())
    }

    fn insert(&mut self, declared: &Program, program: OwnedFd, link: Option<OwnedFd>) {
        let hook = declared.hook;
        self.probes.insert(declared.name, Probe { program, hook, link });
    }

    /// Adds a pinned program, with its link when it is attached. `false` when there is none.
    pub fn resume(&mut self, declared: &Program) -> bool {
        let name = declared.name;
        let Some(names) = &self.names else { return false };
        let Ok(program) = bpf::pinned(&names.program(name)) else {
            return false;
        };
        let link = bpf::pinned(&names.link(name)).ok();
        self.insert(declared, program, link);
        true
    }

    /// Attaches a program, unless it is already attached.
    ///
    /// # Errors
    /// The system call's error, or that there is no such program.
    pub fn attach(&mut self, name: &str) -> anyhow::Result<()> {
        let probe = self
            .probes
            .get_mut(name)
            .with_context(|| format!("{name} is not loaded"))?;
        if probe.link.is_some() {
            return Ok(());
        }
        let link = probe
            .attach(&self.cgroups)
            .with_context(|| format!("{name} cannot be attached"))?;
        // Programs that are not pinned end with the agent, and so do their links.
        if let Some(names) = &self.names
            && names.program(name).exists()
        {
            bpf::pin(link.as_fd(), &names.link(name))
                .with_context(|| format!("the link of {name} cannot be given a name"))?;
        }
        probe.link = Some(link);
        Ok(())
    }

    /// Detaches a program, if it is attached.
    ///
    /// # Errors
    /// The file system's error.
    pub fn detach(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(probe) = self.probes.get_mut(name) else {
            return Ok(());
        };
        if let Some(names) = &self.names {
            forget(&names.link(name)).with_context(|| format!("the name of the link of {name} cannot be removed"))?;
        }
        // Last: this closes the last reference, so the program is detached when the call returns.
        probe.link = None;
        Ok(())
    }

    /// Whether a program is attached.
    pub fn is_attached(&self, name: &str) -> bool {
        self.probes.get(name).is_some_and(|probe| probe.link.is_some())
    }

    /// The descriptor of a loaded program.
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.probes.get(name).map(|probe| probe.program.as_fd())
    }

    /// The names of all programs.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.probes.keys().copied()
    }
}

/// Unpins an object; a missing one is not an error.
fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
