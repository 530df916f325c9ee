//! `cargo xtask test`.

use std::{env, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    setup::{self, Purpose},
    vm::{self, guest::Guest},
    workspace,
};

/// Run every test, against the running kernel and others (as root).
///
/// Needs root: the tests load kernel programs and make network namespaces and cgroups, which they remove again.
/// Nothing is skipped: a test that cannot run fails. Without arguments, those that depend on the kernel then run on the other
/// kernels too, as `cargo xtask vm-test` alone does.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`: a part of a test's name, `--package NAME`, `-- --nocapture`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Sets up, builds and tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !workspace::is_root() {
        bail!("the tests load kernel programs and make namespaces: run `cargo xtask test` as root");
    }
    setup::ensure(Purpose::Tests)?;
    let start = Instant::now();
    // Integration tests start the agent and the testbed's actors, which `cargo test` alone would not build.
    workspace::run(workspace::cargo()?.arg("build"))?;

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
    if !args
        .arguments
        .iter()
        .any(|argument| argument == "-p" || argument.starts_with("--package"))
    {
        tests.args(["--workspace", "--exclude", "agent-ebpf"]);
    }
    // One failing test file is no reason to keep quiet about the others.
    tests.arg("--no-fail-fast").args(&args.arguments);
    let line = workspace::command_line(&tests);
    let status = tests.status().with_context(|| format!("cannot start `{line}`"))?;
    let seconds = start.elapsed().as_secs();
    let here = if status.success() {
        println!("\nall tests passed in {seconds} s, on Linux {}", kernel_release());
        Ok(())
    } else {
        Err(anyhow!(
            "tests failed after {seconds} s; cargo lists their targets above"
        ))
    };
    if !args.arguments.is_empty() {
        return here;
    }
    // One failing kernel is no reason to keep quiet about the others.
    match (here, vm::test(&Guest::ALWAYS, &[])) {
        (Err(here), Err(there)) => bail!("{here:#}; and {there:#}"),
        (here, there) => here.and(there),
    }
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "?".into(), |text| text.trim().into())
}
