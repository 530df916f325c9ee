//! Programs that the miniature mesh runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

use crate::command;

/// The root of the checkout.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is in xtask/testbed")
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or `target` in the checkout.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |set| workspace().join(PathBuf::from(set)),
    )
}

/// A program that `cargo xtask setup` installs, such as `kubectl`.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = target_dir().join("tools").join(name);
    ensure!(path.exists(), "no {}: run `cargo xtask setup`", path.display());
    Ok(path)
}

/// The script of axe-core, which checks a page for what people who cannot see or use a mouse need.
pub const AXE: &str = "axe.min.js";

/// The Envoy that `cargo xtask setup` installs.
pub fn envoy() -> Result<PathBuf> {
    tool("envoy")
}

/// The variable with the path of the actor, for machines where nothing can be built, as in the guests of `cargo xtask vm-test`.
pub const ACTOR: &str = "NARROWS_TEST_ACTOR";

/// The program that plays clients, servers and the ztunnel: the one that [`ACTOR`] names, else built on the first call.
///
/// Tests of other crates need it as much as the demo does, and Cargo builds a binary only for tests of its own crate.
pub fn actor() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(actor) = std::env::var_os(ACTOR) {
        return Ok(actor.into());
    }
    let built = BUILT.get_or_init(|| build_actor().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build_actor() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned());
    let mut build = Command::new(cargo);
    build.current_dir(workspace()).args([
        "build",
        "--quiet",
        "--package",
        "narrows-testbed",
        "--bin",
        "narrows-actor",
    ]);
    build.env("CARGO_TARGET_DIR", target_dir());
    // Cargo sets these variables for tests. Build scripts that depend on them (ring's does), and all their dependents, would be
    // rebuilt, both here and at the next `cargo test`.
    let told = |name: &str| name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        build.env_remove(name);
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if profile == "release" {
        build.arg("--release");
    }
    command::run(&mut build, None).context("build the actors of the testbed")?;
    Ok(target_dir().join(profile).join("narrows-actor"))
}
