//! The pinned bpf-linker, built for the LLVM of the compiler that it serves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use ebpf_build::{Toolchain, toolchain_dir};

use crate::{progress::run_reduced, workspace};

use super::discover::Found;

/// The version whose output the kernel programs were tested with.
pub(crate) const VERSION: &str = "0.13.0";

/// The directory of the linker.
fn directory(target_dir: &Path) -> PathBuf {
    toolchain_dir(target_dir).join("bin")
}

/// Whether the pinned version was built for this LLVM.
pub(crate) fn fits(target_dir: &Path, llvm_major: u32) -> bool {
    // cargo's record of installed programs and their features.
    let record = toolchain_dir(target_dir).join(".crates2.json");
    let record = fs::read_to_string(record).unwrap_or_default();
    directory(target_dir).join("bpf-linker").is_file() && names(&record, llvm_major)
}

fn names(record: &str, llvm_major: u32) -> bool {
    record.contains(&format!("\"bpf-linker {VERSION} ")) && record.contains(&format!("\"llvm-{llvm_major}\""))
}

/// Builds the linker.
///
/// # Errors
/// cargo fails; its output is printed.
pub(crate) fn build(target_dir: &Path, found: &Found) -> Result<()> {
    let mut cargo = workspace::cargo()?;
    cargo
        .env("LLVM_PREFIX", &found.llvm_prefix)
        // In a temporary directory that cargo removes, as the intermediate results are not needed later.
        .env_remove("CARGO_TARGET_DIR")
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--force",
            "--no-default-features",
        ])
        .arg(format!("--features=llvm-{}", found.llvm_major))
        .arg("--root")
        .arg(toolchain_dir(target_dir));
    run_reduced(&mut cargo).context("cannot build bpf-linker")?;
    // This detects an LLVM whose libraries cannot be loaded here, rather than in the middle of a build.
    workspace::output(Command::new(directory(target_dir).join("bpf-linker")).arg("--version"))
        .context("the bpf-linker just built does not run")?;
    Ok(())
}

/// The toolchain to record for `agent/build.rs`.
pub(crate) fn toolchain(target_dir: &Path, found: &Found) -> Toolchain {
    Toolchain {
        kind: found.kind,
        cargo: found.cargo.clone(),
        rustc: found.rustc.clone(),
        linker_dir: directory(target_dir),
        stamp: format!(
            "{}, LLVM {}, bpf-linker {VERSION}",
            found.version.name, found.version.llvm
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_for_another_llvm_does_not_fit() {
        let record = r#"{"installs":{"bpf-linker 0.13.0 (registry)":{"bins":["bpf-linker"],"features":["llvm-22"]}}}"#;
        assert!(names(record, 22));
        assert!(!names(record, 23));
        assert!(!names(&record.replace("0.13.0", "0.9.15"), 22));
    }
}
