//! The task `cargo xtask lint`.

use anyhow::{Context as _, Result, bail};
use ebpf_build::BPF_PROFILE;

use crate::{
    circles,
    progress::Steps,
    setup::{self, Purpose},
    tasks::docs,
    workspace::{self, find_program},
};

/// The roots of the crates, none of which may have import cycles.
const WITHOUT_CIRCLES: [&str; 6] = [
    "agent/src/lib.rs",
    "agent-common/src/lib.rs",
    "agent-ebpf/src/main.rs",
    "xtask/ebpf-build/src/lib.rs",
    "xtask/src/main.rs",
    "xtask/testbed/src/lib.rs",
];

/// Check format, imports, lints, documentation and dependencies.
///
/// Every warning is an error. The agent's build needs the eBPF toolchain, which is found or installed first.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs every check, the fastest first.
pub(crate) fn run(_args: &Args) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let mut steps = Steps::new(7);

    steps.next("format");
    workspace::run(workspace::cargo()?.args(["fmt", "--all", "--check"]))?;

    steps.next("import cycles");
    imports()?;

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

    steps.next("generated documents");
    docs::check()?;

    steps.next("dependencies");
    if find_program("cargo-deny").is_some() {
        workspace::run(workspace::cargo()?.args(["deny", "check"]))?;
    } else {
        println!("      not checked, because cargo-deny is not installed (`cargo install cargo-deny --locked`)");
    }
    println!("no problems found");
    Ok(())
}

/// Fails if modules have import cycles.
fn imports() -> Result<()> {
    let mut found = 0;
    for file in WITHOUT_CIRCLES {
        let circles = circles::in_crate(&workspace::root().join(file));
        for circle in circles.with_context(|| format!("cannot read the modules of {file}"))? {
            eprintln!("{file}: {circle}");
            found += 1;
        }
    }
    if found > 0 {
        bail!("modules have import cycles, see above: move what they share into a separate module");
    }
    Ok(())
}

/// Clippy on the host's target, as its toolchain has no `core` for the BPF target; the code is the same.
/// The profile is the kernel programs' own, because without `std` panics have to abort.
fn kernel_programs() -> Result<()> {
    let mut clippy = workspace::cargo()?;
    clippy
        .env("RUSTC_BOOTSTRAP", "1")
        // In a separate directory, because builds with other features would otherwise replace each other.
        .env("CARGO_TARGET_DIR", workspace::target_dir()?.join("ebpf-lint"))
        .args(["clippy", "--package=agent-ebpf", "--profile", BPF_PROFILE, "--"])
        // aya's attribute macros pass the context by value.
        .args(["-D", "warnings", "-A", "clippy::needless_pass_by_value"]);
    workspace::run(&mut clippy)
}
