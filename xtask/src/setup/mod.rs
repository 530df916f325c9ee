//! `cargo xtask setup`: finds what builds and tests need, and installs what is missing.

mod advice;
pub(crate) mod cross;
mod discover;
mod linker;
mod part;
mod purpose;
mod requirement;
mod rustc;
mod state;
pub(crate) mod tools;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ebpf_build::toolchain_file;

use crate::{
    progress::Steps,
    system::{apt::Apt, family::Family},
    workspace,
};

pub(crate) use purpose::Purpose;

use discover::Found;
use state::{State, Tests};

/// Find or install what builds and tests need.
///
/// An eBPF toolchain: the distribution's Rust where its packages hold `core` for the BPF target (Debian), else a
/// rustup nightly with rust-src; and the pinned bpf-linker, built for that Rust's LLVM. For the demo and the tests:
/// iproute2 and iptables, an Envoy from PyPI, a Prometheus (unpacked, never started as a service), tools that check the
/// Kubernetes manifests, Helm's library, and schemathesis, from PyPI, Chromium and axe-core, from npm, for the page, and QEMU with two Debian
/// kernels (unpacked, never installed). Tools to compile for another architecture, or to boot it, are only installed for the commands
/// that need them: `cargo xtask build --target`, `cargo xtask vm-test --kernel arm64`.
///
/// Packages are listed, and then installed on Debian as root. Everything else is placed in the target directory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// List what is present and what is missing, and install nothing; fails when something is missing
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target_dir = workspace::target_dir()?;
    let state = State::inspect(Purpose::Tests, &target_dir);
    if args.check {
        print!("{state}");
        if !state.is_complete() {
            bail!("something is missing: `cargo xtask setup` installs it");
        }
    } else if state.is_complete() {
        println!("nothing to do: `cargo xtask setup --check` lists what is present");
    } else {
        provide(state, &target_dir)?;
        println!(
            "everything is present: `cargo xtask demo` runs the agent on a small mesh, `cargo xtask build` builds it"
        );
    }
    Ok(())
}

/// Sets up what `purpose` needs; silent when nothing is missing.
///
/// # Errors
/// Something cannot be installed.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    let target_dir = workspace::target_dir()?;
    let state = State::inspect(purpose, &target_dir);
    if !state.is_complete() {
        provide(state, &target_dir)?;
    }
    Ok(())
}

/// Installs everything that is missing, in the order of dependencies.
fn provide(state: State, target_dir: &Path) -> Result<()> {
    let packages = missing_packages(&state);
    let tests = state.tests.as_ref();
    let envoy = tests.is_some_and(|tests| !tests.envoy);
    let prometheus = tests.is_some_and(|tests| !tests.prometheus);
    let kubernetes = tests.is_some_and(|tests| !tests.kubernetes);
    let helm = tests.is_some_and(|tests| !tests.helm);
    let schemathesis = tests.is_some_and(|tests| !tests.schemathesis);
    let axe = tests.is_some_and(|tests| !tests.axe);
    let parts = tests.map_or(&[][..], |tests| &tests.missing_parts);
    let cross = state.cross.as_ref().filter(|cross| !cross.has_rust());
    let steps = [
        !packages.is_empty(),
        !state.linker,
        !state.recorded,
        envoy,
        prometheus,
        cross.is_some(),
        kubernetes,
        helm,
        schemathesis,
        axe,
    ];
    let mut steps = Steps::new(steps.iter().filter(|needed| **needed).count() + parts.len());

    if !packages.is_empty() {
        require_installable(&state, &packages)?;
        steps.next(&format!(
            "installing the packages {} (about a minute)",
            packages.join(" ")
        ));
        Apt::here().install(&packages)?;
    }
    let found = match state.compiler {
        Ok(found) => found,
        Err(_) => compiler_after_installation(state.family)?,
    };
    if !state.linker {
        let llvm = format!("LLVM {} in {}", found.version.llvm, found.llvm_prefix.display());
        steps.next(&format!(
            "building bpf-linker {} with {llvm} (about 30 s)",
            linker::VERSION
        ));
        linker::build(target_dir, &found)?;
    }
    if !state.recorded {
        let toolchain = linker::toolchain(target_dir, &found);
        steps.next(&format!("recording the eBPF toolchain: {}", toolchain.stamp));
        let file = toolchain_file(target_dir);
        toolchain
            .write(target_dir)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(cross) = cross {
        let (triple, place) = (cross.architecture.triple(), target_dir.display());
        steps.next(&format!(
            "unpacking Rust's standard library for {triple} into {place} (about 34 MB)"
        ));
        cross::unpack_std(cross.architecture, target_dir, state.family)?;
    }
    if envoy {
        steps.next(&format!(
            "installing {} from PyPI into {}",
            tools::ENVOY,
            workspace::tools_dir(target_dir).display()
        ));
        tools::install_envoy(target_dir)?;
    }
    if prometheus {
        steps.next("installing Prometheus and promtool (unpacked, no service)");
        tools::install_prometheus(target_dir, state.family)?;
    }
    if kubernetes {
        steps.next(&format!(
            "installing {} and {} from PyPI into {}",
            tools::KUBECTL,
            tools::KUBERNETES_VALIDATE,
            workspace::tools_dir(target_dir).display()
        ));
        tools::install_kubernetes(target_dir)?;
    }
    if helm {
        steps.next(&format!(
            "installing {} from PyPI into {} (a download of 75 MB)",
            tools::HELM,
            workspace::tools_dir(target_dir).display()
        ));
        tools::install_helm(target_dir)?;
    }
    if schemathesis {
        let place = workspace::tools_dir(target_dir);
        steps.next(&format!(
            "installing {} from PyPI into {}",
            tools::SCHEMATHESIS,
            place.display()
        ));
        tools::install_schemathesis(target_dir)?;
    }
    if axe {
        let place = workspace::tools_dir(target_dir);
        steps.next(&format!("installing {} from npm into {}", tools::AXE, place.display()));
        tools::install_axe(target_dir)?;
    }
    for part in parts {
        steps.next(&part.announcement(target_dir));
        part.install(target_dir, state.family)?;
    }
    Ok(())
}

/// The missing packages, by their names on Debian or on this machine's family of distributions.
fn missing_packages(state: &State) -> Vec<String> {
    let toolchain = match (&state.compiler, state.family) {
        (Err(lack), Family::Debian) => advice::debian_packages(lack),
        _ => Vec::new(),
    };
    let missing = state.tests.as_ref().map_or(&[][..], |tests: &Tests| &tests.missing);
    let cross = state.cross.as_ref().map(cross::Cross::missing_packages);
    toolchain
        .into_iter()
        .chain(cross.into_iter().flatten())
        .chain(missing.iter().map(|missing| missing.package(state.family).to_owned()))
        .collect()
}

/// Fails with instructions if the user has to install packages.
fn require_installable(state: &State, packages: &[String]) -> Result<()> {
    if state.family != Family::Debian {
        let advice = state
            .compiler
            .as_ref()
            .err()
            .map(|lack| advice::by_hand(lack, state.family) + "\n");
        bail!(
            "{}please install with your package manager: {}",
            advice.unwrap_or_default(),
            packages.join(" ")
        );
    }
    let install = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if Apt::here().knows(packages)? {
        if workspace::is_root() {
            return Ok(());
        }
        bail!("packages are missing and only root can install them: run `{install}` as root, then this command again");
    }
    match &state.compiler {
        Err(lack) => bail!(
            "apt does not know all of: {}\n{}",
            packages.join(" "),
            advice::by_hand(lack, state.family)
        ),
        Ok(_) => bail!("apt does not know all of: {}", packages.join(" ")),
    }
}

/// Looks for the compiler again; a newer Debian package may require another LLVM than the one that was installed.
fn compiler_after_installation(family: Family) -> Result<Found> {
    let lack = match discover::discover() {
        Ok(found) => return Ok(found),
        Err(lack) => lack,
    };
    if family == Family::Debian && matches!(lack, discover::Lack::Llvm { .. }) && workspace::is_root() {
        let packages = advice::debian_packages(&lack);
        if Apt::here().knows(&packages)? {
            println!("      and {}, which this Rust was built with", packages.join(" "));
            Apt::here().install(&packages)?;
        }
    }
    discover::discover().map_err(|lack| anyhow::Error::msg(advice::by_hand(&lack, family)))
}
