//! `cargo xtask lint`.

use anyhow::Result;
use ebpf_build::BPF_PROFILE;

use crate::{
    progress::Steps,
    setup::{self, Purpose},
    workspace::{self, find_program},
};

/// Check format, lints, documentation and dependencies.
///
/// Every warning is an error. The agent's build needs the eBPF toolchain, so it is set up first.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs every check, the fastest first.
pub(crate) fn run(_args: &Args) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let mut steps = Steps::new(5);

    steps.next("format");
    workspace::run(workspace::cargo()?.args(["fmt", "--all", "--check"]))?;

    steps.next("lints");
    workspace::run(workspace::cargo()?.args(["clippy", "--all-targets", "--", "-D", "warnings"]))?;

    steps.next("lints of the kernel programs");
    kernel_programs()?;

    steps.next("documentation");
    workspace::run(
        workspace::cargo()?
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--no-deps"]),
    )?;

    steps.next("dependencies");
    if find_program("cargo-deny").is_some() {
        workspace::run(workspace::cargo()?.args(["deny", "check"]))?;
    } else {
        println!("      not checked, because cargo-deny is not installed (`cargo install cargo-deny --locked`)");
    }
    println!("no complaints");
    Ok(())
}

/// Clippy on the host's target, as its toolchain has no `core` for the BPF target; the code is the same.
/// The profile is the kernel programs' own, because without `std` panics have to abort.
fn kernel_programs() -> Result<()> {
    let mut clippy = workspace::cargo()?;
    clippy
        .env("RUSTC_BOOTSTRAP", "1")
        // Apart, because a compiler with other features would otherwise rebuild everything in turn.
        .env("CARGO_TARGET_DIR", workspace::target_dir()?.join("ebpf-lint"))
        .args(["clippy", "--package=agent-ebpf", "--profile", BPF_PROFILE, "--"])
        // aya's attribute macros hand the context over by value.
        .args(["-D", "warnings", "-A", "clippy::needless_pass_by_value"]);
    workspace::run(&mut clippy)
}
