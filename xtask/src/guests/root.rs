//! Where the programs that tests call come from: this machine, or packages for another architecture that are unpacked.

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

/// Debian's packages with what [`crate::vm`] names, for a guest of another architecture.
const PACKAGES: [&str; 4] = ["dash", "coreutils", "iproute2", "iptables"];

/// What update-alternatives would link to when iptables was installed.
const ALTERNATIVES: [(&str, &str); 2] = [("iptables", "iptables-nft"), ("ip6tables", "ip6tables-nft")];

/// Where programs lie.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A tree of directories with programs and their libraries, of which a guest gets a part at the same paths.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// This machine's own.
    Here,
    /// Unpacked ones for another architecture.
    Below(PathBuf, Architecture),
}

impl Root {
    /// That for guests of an architecture.
    pub(crate) fn of(architecture: Architecture, target_dir: &Path) -> Self {
        match architecture.is_here() {
            true => Self::Here,
            false => Self::Below(directory(target_dir, architecture), architecture),
        }
    }

    /// Where a path of the guest lies on this machine.
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
                // A link may be absolute, and then leads out of the tree when this machine follows it.
                places
                    .find(|path| fs::symlink_metadata(self.on_host(path)).is_ok())
                    .with_context(|| {
                        format!(
                            "no {name} in {}: its package belongs into xtask/src/vm/root.rs",
                            directory.display()
                        )
                    })
            }
        }
    }
}

/// Where the programs for an architecture are unpacked.
pub(crate) fn directory(target_dir: &Path, architecture: Architecture) -> PathBuf {
    target_dir.join("vm").join(format!("{}-root", architecture.debian()))
}

/// Whether they are in place.
pub(crate) fn is_there(target_dir: &Path, architecture: Architecture) -> bool {
    let root = Root::of(architecture, target_dir);
    // What is done last.
    ALTERNATIVES.iter().all(|(name, _)| root.program(name).is_ok())
}

/// Downloads and unpacks them, with all that they need.
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
