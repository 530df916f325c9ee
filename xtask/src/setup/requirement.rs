//! Programs that the demo and the tests call, and the packages that bring them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::workspace::{find_program, output};

use crate::system::family::Family;

/// A program that comes from a package, and the package by family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    /// The name to call it by.
    pub(crate) program: &'static str,
    /// What it is for, to be said before its package is installed.
    pub(crate) purpose: &'static str,
    /// Arguments with which it must succeed, where being there does not suffice.
    probe: &'static [&'static str],
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
    alpine: &'static str,
}

impl Requirement {
    /// Whether the program is there and works.
    pub(crate) fn is_met(&self) -> bool {
        match find_program(self.program) {
            Some(_) if self.probe.is_empty() => true,
            Some(program) => output(Command::new(system_one(program)).args(self.probe)).is_ok(),
            None => false,
        }
    }

    /// The package that brings it.
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

/// The same program in `/usr/bin`, if there is one: the one from a package rather than from pyenv and the like.
pub(crate) fn system_one(program: PathBuf) -> PathBuf {
    let system = program.file_name().map(|name| Path::new("/usr/bin").join(name));
    system.filter(|system| system.is_file()).unwrap_or(program)
}

/// What every test of the miniature mesh calls.
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

/// What only tests call.
pub(crate) const HAPROXY: Requirement = Requirement {
    program: "haproxy",
    purpose: "a second real proxy, smaller than Envoy",
    probe: &[],
    debian: "haproxy",
    fedora: "haproxy",
    arch: "haproxy",
    alpine: "haproxy",
};

/// What only the installation from PyPI calls.
pub(crate) const PYTHON: Requirement = Requirement {
    program: "python3",
    purpose: "installs tools from PyPI",
    // Debian keeps this module in a package of its own.
    probe: &["-c", "import ensurepip, venv"],
    debian: "python3-venv",
    fedora: "python3",
    arch: "python",
    alpine: "python3",
};

/// What only the unpacking of a kernel calls.
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
