//! `cargo xtask build`.

use anyhow::Result;

use crate::{
    setup::{self, Purpose},
    workspace,
};

/// Build the agent with its kernel programs inside.
///
/// Finds or installs the eBPF toolchain first. The result is one binary that needs nothing of it any more.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// An optimized build, which is also the default
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// An unoptimized build that compiles faster
    #[arg(long)]
    debug: bool,
}

/// Builds and says where the binary is.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let release = args.release || !args.debug;
    let mut cargo = workspace::cargo()?;
    cargo.args(["build", "--package", "narrows"]);
    if release {
        cargo.arg("--release");
    }
    workspace::run(&mut cargo)?;
    let binary = workspace::target_dir()?
        .join(if release { "release" } else { "debug" })
        .join("narrows");
    println!("the agent is {} (run it as root; --help explains it)", binary.display());
    Ok(())
}
