//! The source of programs that tests call: this machine, or unpacked packages for another architecture.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    system::{apt::Apt, architecture::Architecture, family::Family},
    workspace::find_program,
};

/// Debian packages with the programs that [`crate::vm`] needs, for a guest of another architecture.
const PACKAGES: [&str; 4] = ["dash", "coreutils", "iproute2", "iptables"];

/// The links that update-alternatives creates when iptables is installed.
const ALTERNATIVES: [(&str, &str); 2] = [("iptables", "iptables-nft"), ("ip6tables", "ip6tables-nft")];

/// The directories of programs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A directory tree with programs and their libraries, of which guests get a part at the same paths.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// The root of this machine.
    Here,
    /// A directory of packages that are unpacked for another architecture.
    Below(PathBuf, Architecture),
}

impl Root {
    /// The root for guests of an architecture.
    pub(crate) fn of(architecture: Architecture, target_dir: &Path) -> Self {
        match architecture.is_here() {
            true => Self::Here,
            false => Self::Below(directory(target_dir, architecture), architecture),
        }
    }

    /// The path on this machine of a path in the guest.
    pub(crate) fn on_host(&self, path: &Path) -> PathBuf {
        match self {
            Self::Here => path.to_owned(),
            Self::Below(directory, _) => directory.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// The path, in the guest, of a program by its name.
    ///
    /// # Errors
    /// There is no such program.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        match self {
            Self::Here => find_program(name).with_context(|| format!("no {name} on PATH: install it")),
            Self::Below(directory, _) => {
                let mut places = DIRECTORIES.iter().map(|place| Path::new(place).join(name));
                // A link may be absolute, and would then lead out of the tree.
                places
                    .find(|path| fs::symlink_metadata(self.on_host(path)).is_ok())
                    .with_context(|| {
                        format!(
                            "no {name} in {}: add its package to xtask/src/guests/root.rs",
                            directory.display()
                        )
                    })
            }
        }
    }
}

/// The directory in which the programs for an architecture are unpacked.
pub(crate) fn directory(target_dir: &Path, architecture: Architecture) -> PathBuf {
    target_dir.join("vm").join(format!("{}-root", architecture.debian()))
}

/// Whether they are unpacked.
pub(crate) fn is_there(target_dir: &Path, architecture: Architecture) -> bool {
    let root = Root::of(architecture, target_dir);
    // The links are created last.
    ALTERNATIVES.iter().all(|(name, _)| root.program(name).is_ok())
}

/// Downloads and unpacks them, with their dependencies.
///
/// # Errors
/// There is no such package, or apt or dpkg fails.
pub(crate) fn install(target_dir: &Path, architecture: Architecture, family: Family) -> Result<()> {
    if family != Family::Debian {
        bail!(
            "the programs of {} guests are those of Debian's packages, which only apt can fetch",
            architecture.debian()
        );
    }
    let apt = Apt::of(architecture, target_dir)?;
    let directory = directory(target_dir, architecture);
    apt.unpack(&apt.missing(&PACKAGES)?, &directory)?;
    for (name, to) in ALTERNATIVES {
        let link = directory.join("usr/sbin").join(name);
        symlink(to, &link).with_context(|| format!("cannot link {} to {to}", link.display()))?;
    }
    Ok(())
}
