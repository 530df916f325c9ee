//! The parts that the virtual machines of the tests need.

use std::{fmt, path::Path};

use anyhow::Result;

use crate::{
    guests::{
        guest::Guest,
        kernel::{self, Image},
        root,
    },
    system::{architecture::Architecture, family::Family},
};

use super::tools;

/// A part that several guests can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// QEMU for an architecture.
    Qemu(Architecture),
    /// A kernel to boot.
    Kernel(Image),
    /// Programs for another architecture.
    Root(Architecture),
}

impl Part {
    /// The parts that these guests need, each once.
    pub(crate) fn of(guests: &[Guest]) -> Vec<Self> {
        let needed = guests.iter().flat_map(|guest| {
            let image = guest.image();
            let root = (!image.architecture.is_here()).then_some(Self::Root(image.architecture));
            [Self::Qemu(image.architecture), Self::Kernel(image)]
                .into_iter()
                .chain(root)
        });
        let mut parts = Vec::new();
        for part in needed {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts
    }

    pub(crate) fn is_there(self, target_dir: &Path) -> bool {
        match self {
            Self::Qemu(architecture) => tools::is_there(target_dir, &tools::qemu(architecture)),
            Self::Kernel(image) => kernel::is_there(target_dir, image),
            Self::Root(architecture) => root::is_there(target_dir, architecture),
        }
    }

    /// The purpose of the part.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Qemu(_) => "runs the tests on other kernels",
            Self::Kernel(_) => "one of these kernels, from a package of Debian",
            Self::Root(_) => "programs that tests call on another architecture, from packages of Debian",
        }
    }

    /// The announcement of its installation.
    pub(crate) fn announcement(self, target_dir: &Path) -> String {
        match self {
            Self::Qemu(_) => format!("installing {self} (unpacked, about 17 MB)"),
            Self::Kernel(image) => format!(
                "downloading the newest {self} of Debian into {} (unpacked, about 30 MB)",
                kernel::directory(target_dir, image).display()
            ),
            Self::Root(architecture) => format!(
                "downloading {self} into {} (unpacked, about 15 MB)",
                root::directory(target_dir, architecture).display()
            ),
        }
    }

    /// Installs the part into the target directory.
    ///
    /// # Errors
    /// There is no such package, or it cannot be downloaded.
    pub(crate) fn install(self, target_dir: &Path, family: Family) -> Result<()> {
        match self {
            Self::Qemu(architecture) => tools::install_qemu(target_dir, architecture, family),
            Self::Kernel(image) => kernel::install(target_dir, image, family),
            Self::Root(architecture) => root::install(target_dir, architecture, family),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(architecture) => f.pad(&tools::qemu(*architecture)),
            Self::Kernel(image) => f.pad(&format!("Linux {image}")),
            Self::Root(architecture) => f.pad(&format!("programs for {}", architecture.debian())),
        }
    }
}
