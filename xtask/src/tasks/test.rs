//! The task `cargo xtask test`.

use std::{env, process::Command, time::Instant};

use anyhow::{Context as _, Result, bail};

use crate::{
    setup::{self, Purpose},
    vm, workspace,
};

/// Run every test, against the running kernel and others (as root).
///
/// Needs root: the tests load kernel programs and create network namespaces and cgroups, which they remove again.
/// No test is skipped: a test that cannot run fails. Without arguments, the tests that depend on the kernel also run on other
/// kernels at the same time, as with `cargo xtask vm-test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`: a part of a test's name, `--package NAME`, `-- --nocapture`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Sets up, builds, and runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !workspace::is_root() {
        bail!("the tests load kernel programs and create namespaces: run `cargo xtask test` as root");
    }
    setup::ensure(Purpose::Tests)?;
    // Integration tests start the agent and the testbed's actors, which `cargo test` alone would not build.
    workspace::run(workspace::cargo()?.arg("build"))?;
    if !args.arguments.is_empty() {
        return here(&args.arguments);
    }
    // Compiled first, so that the guests and these tests need not share the CPUs with the compiler.
    workspace::run(cargo_test(&[])?.arg("--no-run"))?;
    // The results of the other kernels are reported even if one fails.
    match vm::test_beside(|| here(&[]))? {
        (Err(here), Err(there)) => bail!("{here:#}; and {there:#}"),
        (here, there) => here.and(there),
    }
}

/// Runs the tests on this machine.
fn here(arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    let mut tests = cargo_test(arguments)?;
    // The other test files run even if one fails.
    tests.arg("--no-fail-fast").args(arguments);
    let line = workspace::command_line(&tests);
    let status = tests.status().with_context(|| format!("cannot start `{line}`"))?;
    let seconds = start.elapsed().as_secs();
    if !status.success() {
        bail!("tests failed after {seconds} s; cargo lists their targets above");
    }
    println!("\nall tests passed in {seconds} s, on Linux {}", kernel_release());
    Ok(())
}

/// `cargo test` on all packages, unless the arguments name some.
fn cargo_test(arguments: &[String]) -> Result<Command> {
    let target_dir = workspace::target_dir()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(
        [workspace::tools_dir(&target_dir)]
            .into_iter()
            .chain(env::split_paths(&path)),
    );
    let mut tests = workspace::cargo()?;
    tests
        .env("PATH", path.context("the target directory cannot be put on PATH")?)
        .arg("test");
    let names_packages = |argument: &String| argument == "-p" || argument.starts_with("--package");
    if !arguments.iter().any(names_packages) {
        tests.args(["--workspace", "--exclude", "agent-ebpf"]);
    }
    Ok(tests)
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "?".into(), |text| text.trim().into())
}
