//! Compiles the kernel programs and names the object to the agent as `NARROWS_EBPF_OBJECT`.

#[allow(dead_code, reason = "shared with xtask, which uses the rest")]
#[path = "../xtask/src/setup/recipe.rs"]
mod recipe;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use recipe::Toolchain;

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
    println!(
        "cargo::rerun-if-changed={}",
        recipe::toolchain_file(target_dir).display()
    );

    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let mut command = toolchain.build_command(workspace, target_dir, &arch)?;
    let output = command
        .output()
        .map_err(|error| format!("cannot run {}: {error}", toolchain.cargo.display()))?;
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
    let object = recipe::object(target_dir, &arch, "narrows-ebpf");
    let copy = out_dir.join("narrows-ebpf");
    fs::copy(&object, &copy)
        .map_err(|error| format!("cannot copy {} to {}: {error}", object.display(), copy.display()))?;
    println!("cargo::rustc-env=NARROWS_EBPF_OBJECT={}", copy.display());
    Ok(())
}

/// One line for each warning: what, and where the compiler says it is.
fn warnings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(what) = line.strip_prefix("warning: ") else {
            continue;
        };
        let place = lines.peek().and_then(|next| next.trim_start().strip_prefix("--> "));
        match place {
            Some(place) => found.push(format!("{what} ({place})")),
            // cargo's own closing count says nothing new.
            None if what.contains("generated") => {}
            None => found.push(what.to_owned()),
        }
    }
    found
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo should have set {name}: {error}"))
}

/// The target directory that `cargo xtask setup` prepared: cargo does not name its own to build scripts, but it lies
/// above `OUT_DIR` whatever the profile and the target.
fn target_dir(out_dir: &Path) -> Option<&Path> {
    out_dir
        .ancestors()
        .find(|directory| recipe::toolchain_file(directory).is_file())
}
