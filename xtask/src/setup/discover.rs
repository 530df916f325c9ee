//! Looks for a Rust that compiles for the BPF target, and for the LLVM that its linker must be built with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use ebpf_build::{BPF_TARGET, Kind};

use crate::workspace::output;

use super::rustc::Version;

/// The LLVM releases that the pinned bpf-linker can be built for.
const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// A compiler and the LLVM that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) version: Version,
    pub(crate) llvm_major: u32,
    /// The directory with `lib/libLLVM.so`.
    pub(crate) llvm_prefix: PathBuf,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No compiler that could compile `core` for the BPF target.
    Rust,
    /// There is a nightly, but not the sources of `core`.
    RustSource { toolchain: String, major: u32 },
    /// There is a compiler, but not the development files of its LLVM.
    Llvm { rustc: PathBuf, major: u32 },
}

/// Looks for a distribution's compiler first, then for a rustup nightly.
///
/// # Errors
/// What is missing, in the case that comes closest.
pub(crate) fn discover() -> Result<Found, Lack> {
    let mut closest = Lack::Rust;
    for candidate in candidates() {
        match candidate {
            Ok(candidate) => match complete(candidate) {
                Ok(found) => return Ok(found),
                Err(lack) if !matches!(closest, Lack::Llvm { .. }) => closest = lack,
                Err(_) => {}
            },
            Err(lack) if closest == Lack::Rust => closest = lack,
            Err(_) => {}
        }
    }
    Err(closest)
}

struct Candidate {
    kind: Kind,
    cargo: PathBuf,
    rustc: PathBuf,
    version: Version,
    llvm_major: u32,
}

fn candidates() -> impl Iterator<Item = Result<Candidate, Lack>> {
    distribution().into_iter().chain(nightlies())
}

fn complete(candidate: Candidate) -> Result<Found, Lack> {
    let Candidate {
        kind,
        cargo,
        rustc,
        version,
        llvm_major,
    } = candidate;
    match llvm_prefix(llvm_major) {
        Some(llvm_prefix) => Ok(Found {
            kind,
            cargo,
            rustc,
            version,
            llvm_major,
            llvm_prefix,
        }),
        None => Err(Lack::Llvm {
            rustc,
            major: llvm_major,
        }),
    }
}

/// A new enough compiler with an LLVM that bpf-linker knows.
fn candidate(kind: Kind, bin: &Path) -> Option<Candidate> {
    let (cargo, rustc) = (bin.join("cargo"), bin.join("rustc"));
    let version = Version::of(&rustc)?;
    let llvm_major = version.llvm_major().filter(|major| LLVM_MAJORS.contains(major))?;
    (cargo.is_file() && version.suffices()).then_some(Candidate {
        kind,
        cargo,
        rustc,
        version,
        llvm_major,
    })
}

/// The compiler of the distribution's packages, if they contain a compiled `core` for the BPF target.
fn distribution() -> Option<Result<Candidate, Lack>> {
    let candidate = candidate(Kind::Distribution, Path::new("/usr/bin"))?;
    let sysroot = output(Command::new(&candidate.rustc).args(["--print", "sysroot"])).ok()?;
    let libraries = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(BPF_TARGET)
        .join("lib");
    holds(&libraries, |name| name.starts_with("libcore-")).then_some(Ok(candidate))
}

/// Every rustup nightly; used through its own directory, so that no rustup setting redirects it.
fn nightlies() -> Vec<Result<Candidate, Lack>> {
    let home = |name| env::var_os(name).map(PathBuf::from);
    let Some(rustup) = home("RUSTUP_HOME").or_else(|| Some(home("HOME")?.join(".rustup"))) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(rustup.join("toolchains")) else {
        return Vec::new();
    };
    let mut toolchains: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    toolchains.retain(|name| name.starts_with("nightly"));
    // `nightly-x86_64…` sorts after `nightly-2026-…`; the undated one is the one that rustup updates.
    toolchains.sort_by(|a, b| b.cmp(a));
    let of = |toolchain: String| {
        let directory = rustup.join("toolchains").join(&toolchain);
        let candidate = candidate(Kind::Nightly, &directory.join("bin"))?;
        let source = directory.join("lib/rustlib/src/rust/library/core").is_dir();
        Some(if source {
            Ok(candidate)
        } else {
            Err(Lack::RustSource {
                toolchain,
                major: candidate.llvm_major,
            })
        })
    };
    toolchains.into_iter().filter_map(of).collect()
}

/// The directory of the development files of one LLVM release, in the layouts of distributions.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let candidates = [
        format!("/usr/lib/llvm-{major}"),
        format!("/usr/lib64/llvm{major}"),
        format!("/usr/lib/llvm{major}"),
        format!("/usr/lib/llvm/{major}"),
        "/usr".to_owned(),
    ];
    candidates.into_iter().map(PathBuf::from).find(|prefix| {
        let library = ["lib64", "lib"]
            .iter()
            .any(|lib| prefix.join(lib).join("libLLVM.so").exists());
        library && llvm_major(prefix) == Some(major)
    })
}

fn llvm_major(prefix: &Path) -> Option<u32> {
    let version = output(Command::new(prefix.join("bin/llvm-config")).arg("--version")).ok()?;
    version.split('.').next()?.trim().parse().ok()
}

/// Whether a directory contains a file whose name matches.
pub(super) fn holds(directory: &Path, matches: impl Fn(&str) -> bool) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_name().to_str().is_some_and(&matches))
}
