//! The task `cargo xtask build`.

use anyhow::Result;

use crate::{
    setup::{self, Purpose, cross::Cross},
    system::architecture::Architecture,
    workspace,
};

/// Build the agent with its kernel programs inside.
///
/// Finds or installs the eBPF toolchain first. The result is one binary that does not need the toolchain at run time.
///
/// With --target, the binary is for machines of that architecture, and is written to a directory with the target's name below the
/// target directory. This needs a C cross-compiler, which is installed (on Debian, as root: gcc-aarch64-linux-gnu and
/// libc6-dev-arm64-cross), and Rust's standard library for the target: that of the Rust that runs this task if it has one (`rustup
/// target add`), else that of Debian's Rust, which is unpacked into the target directory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// An optimized build (the default)
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// An unoptimized build that compiles faster
    #[arg(long)]
    debug: bool,
    /// Target of the build, if not this machine
    #[arg(long, value_enum, value_name = "TRIPLE")]
    target: Option<Architecture>,
}

/// Builds the agent, and prints the path of the binary.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target_dir = workspace::target_dir()?;
    let (mut cargo, directory) = match args.target {
        None => {
            setup::ensure(Purpose::Build)?;
            let mut cargo = workspace::cargo()?;
            cargo.arg("build");
            (cargo, target_dir)
        }
        Some(architecture) => {
            setup::ensure(Purpose::BuildFor(architecture))?;
            let cargo = Cross::inspect(architecture, &target_dir).cargo("build")?;
            (cargo, target_dir.join(architecture.triple()))
        }
    };
    let release = args.release || !args.debug;
    cargo.args(["--package", "narrows"]);
    if release {
        cargo.arg("--release");
    }
    workspace::run(&mut cargo)?;
    let binary = directory
        .join(if release { "release" } else { "debug" })
        .join("narrows");
    println!("the agent is {} (run it as root; --help explains it)", binary.display());
    Ok(())
}
