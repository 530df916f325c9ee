//! Paths of the repository and its build products, and calls of cargo.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Cargo's target directory, absolute: `CARGO_TARGET_DIR`, or `target` in the checkout.
pub(crate) fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        // As cargo does, a relative path is resolved from the current directory.
        Some(set) => std::path::absolute(&set).with_context(|| format!("CARGO_TARGET_DIR={}", set.display())),
        None => Ok(root().join("target")),
    }
}

/// Programs that tests and the demo run, as links: `envoy`, `prometheus`, `promtool`.
pub(crate) fn tools_dir(target_dir: &Path) -> PathBuf {
    target_dir.join("tools")
}

/// The cargo that runs this task, for this workspace and its target directory.
pub(crate) fn cargo() -> Result<Command> {
    cargo_at(Path::new(&env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}

/// The same, with another cargo.
pub(crate) fn cargo_at(program: &Path) -> Result<Command> {
    let mut cargo = Command::new(program);
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target_dir()?);
    // Cargo has set these variables for this program. Build scripts that depend on them (ring's does), and all their dependents,
    // would be rebuilt, both by this cargo and by the next one that is called by hand.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

/// Runs a command in the foreground; its own output has the reason of a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); see its output above");
    }
    Ok(())
}

/// Builds the agent as it is released; cargo prints its progress.
pub(crate) fn build_agent() -> Result<()> {
    run(cargo()?.args(["build", "--release", "--package", "narrows"]))
}

/// The stdout of a command, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!(
            "`{line}` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as a user would type it, with only the name of the program.
pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = [name].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The first program of this name on `PATH`, or in the system directories that a user's `PATH` may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
