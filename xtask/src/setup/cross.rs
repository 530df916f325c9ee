//! Cross-compilation: needs a standard library for the target, and a linker, which is GNU's C compiler for it.
//!
//! The standard library must be of the same release as the compiler. If the Rust that runs this task has one for the
//! target (`rustup target add`), it is used. Otherwise Debian's Rust is used, with the library of Debian's package for the other
//! architecture, which is unpacked but not installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    system::{apt::Apt, architecture::Architecture, family::Family},
    workspace::{self, find_program, output},
};

use super::{discover::holds, rustc::Version};

/// The tools to compile for an architecture.
pub(crate) struct Cross {
    pub(crate) architecture: Architecture,
    /// A usable compiler, whose standard library may still be missing.
    rust: Option<Rust>,
    /// GNU's C compiler with the C library's development files.
    linker: bool,
}

enum Rust {
    /// The Rust that runs this task.
    Own,
    /// Debian's Rust, with the directory in which the standard library for the target is unpacked.
    Debian(PathBuf),
}

impl Cross {
    /// Looks for the tools; changes nothing.
    pub(crate) fn inspect(architecture: Architecture, target_dir: &Path) -> Self {
        let rust = if architecture.is_here() || own_sysroot().is_some_and(|sysroot| has_std(&sysroot, architecture)) {
            Some(Rust::Own)
        } else {
            debian_release().map(|release| Rust::Debian(unpacked(target_dir, architecture, &release)))
        };
        Self {
            architecture,
            rust,
            linker: architecture.is_here() || links(architecture),
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.linker && self.has_rust()
    }

    /// Whether a compiler and its standard library are present.
    pub(crate) fn has_rust(&self) -> bool {
        match &self.rust {
            Some(Rust::Own) => true,
            Some(Rust::Debian(directory)) => has_std(&directory.join("usr"), self.architecture),
            None => false,
        }
    }

    /// The Debian packages to install. All are packages of this architecture, including that with the C library for the other
    /// one.
    pub(crate) fn missing_packages(&self) -> Vec<String> {
        let mut packages = Vec::new();
        if !self.linker {
            let (gnu, debian) = (self.architecture.gnu().replace('_', "-"), self.architecture.debian());
            packages.extend([format!("gcc-{gnu}"), format!("libc6-dev-{debian}-cross")]);
        }
        if self.rust.is_none() {
            packages.extend(["rustc-web", "cargo-web"].map(String::from));
        }
        packages
    }

    /// cargo with a command, set up for the target.
    ///
    /// # Errors
    /// Something is missing, or the target directory is not known.
    pub(crate) fn cargo(&self, command: &str) -> Result<Command> {
        let mut cargo = match &self.rust {
            Some(Rust::Own) => workspace::cargo()?,
            Some(Rust::Debian(directory)) => {
                let mut cargo = workspace::cargo_at(Path::new(CARGO))?;
                let sysroot = format!("--sysroot={}", directory.join("usr").display());
                cargo
                    .env("RUSTC", RUSTC)
                    // In a separate directory: build scripts and macros, which are compiled for this machine, would otherwise
                    // replace those of the other Rust, and everything would be rebuilt each time.
                    .env("CARGO_BUILD_BUILD_DIR", build_dir(&workspace::target_dir()?))
                    // These flags apply to the target only: build scripts and macros are compiled with the compiler's own library.
                    // In this variable, which takes precedence over all others, a path may contain spaces.
                    .env("CARGO_ENCODED_RUSTFLAGS", sysroot)
                    // The cargo that runs this task sets it to its own compiler's libraries, which include another LLVM.
                    .env_remove("LD_LIBRARY_PATH")
                    .env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
            None => bail!("no Rust toolchain can compile for {}", self.architecture.triple()),
        };
        let linker = format!("CARGO_TARGET_{}_LINKER", self.architecture.triple().to_uppercase());
        let linker = linker.replace('-', "_");
        if !self.architecture.is_here() && env::var_os(&linker).is_none() {
            cargo.env(linker, compiler(self.architecture));
        }
        cargo.args([command, "--target", self.architecture.triple()]);
        Ok(cargo)
    }
}

/// The cargo of Debian's Rust.
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";

/// Unpacks the standard library of Debian's Rust for another architecture.
///
/// # Errors
/// There is no package of the compiler's version.
pub(crate) fn unpack_std(architecture: Architecture, target_dir: &Path, family: Family) -> Result<()> {
    let triple = architecture.triple();
    if family != Family::Debian {
        bail!("this Rust has no standard library for {triple}: run `rustup target add {triple}`");
    }
    let release = debian_release().with_context(|| format!("no Rust of Debian's in {RUSTC}"))?;
    let owner = output(Command::new("dpkg-query").args(["--search", RUSTC]))?;
    let owner = owner.split(':').next().unwrap_or_default();
    let version = output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", owner]))?;
    // `rustc-web` has its libraries in `libstd-rust-web-dev`.
    let package = format!("{}-dev={version}", owner.replacen("rustc", "libstd-rust", 1));
    println!("      {package} for {}", architecture.debian());
    let directory = unpacked(target_dir, architecture, &release);
    Apt::of(architecture, target_dir)?
        .unpack(std::slice::from_ref(&package), &directory)
        .with_context(|| format!("{RUSTC} needs {package}: where there is a newer one, upgrade {owner}"))?;
    if !has_std(&directory.join("usr"), architecture) {
        bail!("{package} contains no standard library for {triple}");
    }
    Ok(())
}

/// The directory is named by the release, as a library of another one cannot be used.
fn unpacked(target_dir: &Path, architecture: Architecture, release: &str) -> PathBuf {
    target_dir
        .join("cross-rust")
        .join(format!("{}-{release}", architecture.triple()))
}

/// The build directory of Debian's Rust.
fn build_dir(target_dir: &Path) -> PathBuf {
    target_dir.join("cross-rust").join("build")
}

/// The sysroot of the Rust that runs this task.
fn own_sysroot() -> Option<PathBuf> {
    // The compiler next to this cargo, independent of rustup's settings.
    let rustc = Path::new(&env::var_os("CARGO")?).with_file_name("rustc");
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(sysroot.trim().into())
}

fn has_std(sysroot: &Path, architecture: Architecture) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(architecture.triple()).join("lib");
    holds(&libraries, |name| name.starts_with("libstd-"))
}

/// The release of Debian's Rust, if it is new enough.
fn debian_release() -> Option<String> {
    let version = Version::of(Path::new(RUSTC)).filter(Version::suffices)?;
    Path::new(CARGO).is_file().then_some(version.release)
}

fn compiler(architecture: Architecture) -> String {
    format!("{}-gcc", architecture.gnu())
}

/// Whether there is a C compiler that finds the C library's start file `crt1.o`.
fn links(architecture: Architecture) -> bool {
    let Some(gcc) = find_program(&compiler(architecture)) else {
        return false;
    };
    // It prints the bare name when there is no such file.
    output(Command::new(gcc).arg("-print-file-name=crt1.o")).is_ok_and(|path| path.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_architecture_needs_nothing() {
        let here = [Architecture::X86_64, Architecture::Aarch64].into_iter();
        for architecture in here.filter(|architecture| architecture.is_here()) {
            let cross = Cross::inspect(architecture, Path::new("/nowhere"));
            assert!(cross.is_complete());
            assert!(cross.missing_packages().is_empty());
        }
    }

    #[test]
    fn packages_are_those_of_the_target() {
        let cross = |architecture| Cross {
            architecture,
            rust: Some(Rust::Own),
            linker: false,
        };
        let packages = cross(Architecture::Aarch64).missing_packages();
        assert_eq!(packages, ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]);
        let packages = cross(Architecture::X86_64).missing_packages();
        assert_eq!(packages, ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]);
    }
}
