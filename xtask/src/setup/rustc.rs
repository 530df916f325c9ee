//! The version of a compiler, and of its LLVM.

use std::{path::Path, process::Command};

use crate::workspace::output;

/// The oldest Rust that compiles this workspace, as in its manifest.
const OLDEST: (u32, u32) = (1, 95);

/// The answer of `rustc -vV`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The first line: `rustc 1.96.0 (ac68faa20 2026-05-25)`.
    pub(crate) name: String,
    /// The release, for example `1.96.0`.
    pub(crate) release: String,
    /// The version of LLVM, for example `22.1.8`.
    pub(crate) llvm: String,
}

impl Version {
    /// Runs a compiler; `None` if it cannot be run or prints something else.
    pub(crate) fn of(rustc: &Path) -> Option<Self> {
        Self::parse(&output(Command::new(rustc).arg("-vV")).ok()?)
    }

    /// Parses the answer of `rustc -vV`.
    fn parse(text: &str) -> Option<Self> {
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(|value| value.trim().to_owned())
        };
        Some(Self {
            name: text.lines().next()?.split(" (built").next()?.to_owned(),
            release: field("release:")?,
            llvm: field("LLVM version:")?,
        })
    }

    /// The major version of LLVM, which is part of the names of packages and of bpf-linker's features.
    pub(crate) fn llvm_major(&self) -> Option<u32> {
        self.llvm.split('.').next()?.parse().ok()
    }

    /// Whether this compiler is new enough for the workspace.
    pub(crate) fn suffices(&self) -> bool {
        let mut numbers = self.release.split(['.', '-']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
                          commit-date: 2026-05-25\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn a_compiler_names_its_llvm() {
        let version = Version::parse(DEBIAN).expect("a version");
        assert_eq!(version.name, "rustc 1.96.0 (ac68faa20 2026-05-25)");
        assert_eq!(version.llvm_major(), Some(22));
        assert!(version.suffices());
    }

    #[test]
    fn an_old_compiler_does_not_suffice() {
        let version = |release| Version {
            name: String::new(),
            release: String::from(release),
            llvm: String::new(),
        };
        assert!(!version("1.85.0").suffices());
        assert!(version("1.97.0-nightly").suffices());
        assert!(version("2.0.0").suffices());
        assert!(!version("nonsense").suffices());
    }

    #[test]
    fn another_program_is_no_compiler() {
        assert_eq!(Version::parse("cargo 1.96.0\nrelease: 1.96.0\n"), None);
    }

    #[test]
    fn the_oldest_compiler_is_that_of_the_manifest() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("rust-version = \"{}.{}\"", OLDEST.0, OLDEST.1)));
    }
}
