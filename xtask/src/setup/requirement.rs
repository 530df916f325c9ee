//! Programs that the demo and the tests call, and their packages.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::workspace::{find_program, output};

use crate::system::family::Family;

/// A program, and its package in each family of distributions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    /// The name to call it by.
    pub(crate) program: &'static str,
    /// Its purpose, which is printed before its package is installed.
    pub(crate) purpose: &'static str,
    /// Arguments with which it must succeed, if its presence is not sufficient.
    probe: &'static [&'static str],
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
    alpine: &'static str,
}

impl Requirement {
    /// Whether the program is present and works.
    pub(crate) fn is_met(&self) -> bool {
        match find_program(self.program) {
            Some(_) if self.probe.is_empty() => true,
            Some(program) => output(Command::new(system_one(program)).args(self.probe)).is_ok(),
            None => false,
        }
    }

    /// The package that contains it.
    pub(crate) fn package(&self, family: Family) -> &'static str {
        match family {
            Family::Debian => self.debian,
            Family::Fedora => self.fedora,
            Family::Arch => self.arch,
            Family::Alpine => self.alpine,
            Family::Other => self.program,
        }
    }
}

/// The same program in `/usr/bin`, if it exists: from a package rather than from pyenv and the like.
pub(crate) fn system_one(program: PathBuf) -> PathBuf {
    let system = program.file_name().map(|name| Path::new("/usr/bin").join(name));
    system.filter(|system| system.is_file()).unwrap_or(program)
}

/// Programs that every test of the miniature mesh calls.
pub(crate) const MESH: [Requirement; 2] = [
    Requirement {
        program: "ip",
        purpose: "network namespaces of the miniature mesh",
        probe: &[],
        debian: "iproute2",
        fedora: "iproute",
        arch: "iproute2",
        alpine: "iproute2",
    },
    Requirement {
        program: "iptables",
        purpose: "redirection to the mesh's ztunnel",
        probe: &[],
        debian: "iptables",
        fedora: "iptables-nft",
        arch: "iptables",
        alpine: "iptables",
    },
];

/// The proxy that only tests call.
pub(crate) const HAPROXY: Requirement = Requirement {
    program: "haproxy",
    purpose: "a second real proxy, smaller than Envoy",
    probe: &[],
    debian: "haproxy",
    fedora: "haproxy",
    arch: "haproxy",
    alpine: "haproxy",
};

/// What the page is tested in.
pub(crate) const CHROMIUM: Requirement = Requirement {
    program: "chromium",
    purpose: "the browser in which the page is tested",
    probe: &[],
    debian: "chromium",
    fedora: "chromium",
    arch: "chromium",
    alpine: "chromium",
};

/// Called for installations from npm only.
pub(crate) const NPM: Requirement = Requirement {
    program: "npm",
    purpose: "downloads axe-core",
    probe: &[],
    debian: "npm",
    fedora: "nodejs-npm",
    arch: "npm",
    alpine: "npm",
};

/// Called for installations from PyPI only.
pub(crate) const PYTHON: Requirement = Requirement {
    program: "python3",
    purpose: "installs tools from PyPI",
    // Debian has this module in a separate package.
    probe: &["-c", "import ensurepip, venv"],
    debian: "python3-venv",
    fedora: "python3",
    arch: "python",
    alpine: "python3",
};

/// Called when a kernel is unpacked.
pub(crate) const DEPMOD: Requirement = Requirement {
    program: "depmod",
    purpose: "sorts the modules of the kernels that the tests boot",
    probe: &[],
    debian: "kmod",
    fedora: "kmod",
    arch: "kmod",
    alpine: "kmod",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_decides() {
        let requirement = |probe| Requirement {
            program: "sh",
            probe,
            ..PYTHON
        };
        assert!(requirement(&["-c", "true"]).is_met());
        assert!(!requirement(&["-c", "exit 1"]).is_met());
        assert!(
            !Requirement {
                program: "no-such-program",
                ..PYTHON
            }
            .is_met()
        );
    }

    #[test]
    fn packages_differ_by_family() {
        assert_eq!(PYTHON.package(Family::Debian), "python3-venv");
        assert_eq!(PYTHON.package(Family::Other), "python3");
    }
}
