//! Compiles the kernel programs and names the object to the agent as `NARROWS_EBPF_OBJECT`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use ebpf_build::{Toolchain, object, toolchain_file, warnings};

const NO_TOOLCHAIN: &str = "the kernel programs cannot be compiled without an eBPF toolchain: run `cargo xtask setup` \
                            first (or `cargo xtask build`, which does both)";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().ok_or("the agent's package has no parent directory")?;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);

    let target_dir = target_dir(&out_dir).ok_or(NO_TOOLCHAIN)?;
    let toolchain = Toolchain::read(target_dir).map_err(|error| format!("{NO_TOOLCHAIN}\n{error}"))?;
    for path in ["agent-common", "agent-ebpf", "Cargo.toml", "Cargo.lock"].map(|path| workspace.join(path)) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed={}", toolchain_file(target_dir).display());

    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let output = toolchain.compile(workspace, target_dir, &arch)?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // Raw, because cargo prints every line of a `cargo::error` twice.
        eprint!("{text}");
        return Err("the kernel programs in agent-ebpf/ do not compile; what the compiler says stands below".into());
    }
    for warning in warnings(&text) {
        println!("cargo::warning=kernel programs: {warning}");
    }

    // A copy: a build for another profile may rewrite the shared object while rustc reads this one.
    let object = object(target_dir, &arch, "narrows-ebpf");
    let copy = out_dir.join("narrows-ebpf");
    fs::copy(&object, &copy)
        .map_err(|error| format!("cannot copy {} to {}: {error}", object.display(), copy.display()))?;
    println!("cargo::rustc-env=NARROWS_EBPF_OBJECT={}", copy.display());
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo should have set {name}: {error}"))
}

/// The target directory that `cargo xtask setup` prepared: cargo does not name its own to build scripts, but it lies
/// above `OUT_DIR` whatever the profile and the target.
fn target_dir(out_dir: &Path) -> Option<&Path> {
    out_dir
        .ancestors()
        .find(|directory| toolchain_file(directory).is_file())
}
