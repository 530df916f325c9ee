//! The task `cargo xtask docs`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{prometheus_rule, rules};
use crate::{
    setup::{self, Purpose},
    workspace,
};

/// Write the generated files: the reference of metrics, the description of the API, and the recording rules and alerts.
///
/// docs/metrics.md and docs/openapi.json are printed by the agent, whose build needs the eBPF toolchain, which is found or installed first. The files in
/// deploy/prometheus are made of the templates in deploy/prometheus/source, and the objects for the Prometheus operator, in
/// deploy/kubernetes/components/prometheus-rule, of these files. `cargo xtask lint` fails when one is out of date.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Writes the generated files.
pub(crate) fn run(_args: &Args) -> Result<()> {
    // First what needs no build.
    for (file, text) in all_rules()? {
        write(&file, &text)?;
    }
    setup::ensure(Purpose::Build)?;
    for (file, text) in [metrics()?, api()?] {
        write(&file, &text)?;
    }
    Ok(())
}

/// Fails when a file is out of date.
pub(crate) fn check() -> Result<()> {
    let mut generated = all_rules()?;
    generated.extend([metrics()?, api()?]);
    for (file, text) in generated {
        let written = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(
            written == text,
            "{} is out of date: run `cargo xtask docs`",
            file.display()
        );
    }
    Ok(())
}

fn write(file: &PathBuf, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// The rule files, and the objects that are made of them.
fn all_rules() -> Result<Vec<(PathBuf, String)>> {
    let mut files = rules::generated()?;
    files.extend(prometheus_rule::objects(&files)?);
    Ok(files)
}

/// The reference of metrics.
fn metrics() -> Result<(PathBuf, String)> {
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
    Ok((
        workspace::root().join("docs/metrics.md"),
        workspace::output(&mut cargo)?,
    ))
}

/// The OpenAPI document of the API.
fn api() -> Result<(PathBuf, String)> {
    let mut cargo = workspace::cargo()?;
    cargo.args(["run", "--quiet", "--package", "narrows", "--example", "openapi"]);
    Ok((
        workspace::root().join("docs/openapi.json"),
        workspace::output(&mut cargo)?,
    ))
}
