//! The task `cargo xtask docs`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{
    setup::{self, Purpose},
    workspace,
};

/// Write the generated documents: the reference of metrics, docs/metrics.md.
///
/// Compiles the agent, which prints the page itself; its build needs the eBPF toolchain, which is found or
/// installed first. `cargo xtask lint` fails when the page is out of date.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Writes the generated page.
pub(crate) fn run(_args: &Args) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let page = page();
    fs::write(&page, metrics()?).with_context(|| format!("cannot write {}", page.display()))?;
    println!("{}", page.display());
    Ok(())
}

/// Fails when the page is out of date.
pub(crate) fn check() -> Result<()> {
    let page = page();
    let written = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    ensure!(
        written == metrics()?,
        "{} is out of date: run `cargo xtask docs`",
        page.display()
    );
    Ok(())
}

fn page() -> PathBuf {
    workspace::root().join("docs/metrics.md")
}

fn metrics() -> Result<String> {
    let mut cargo = workspace::cargo()?;
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "narrows",
        "--",
        "metrics",
        "--format",
        "markdown",
    ]);
    workspace::output(&mut cargo)
}
