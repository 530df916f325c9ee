//! The task `cargo xtask man`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    setup::{self, Purpose},
    workspace,
};

/// Write the man pages of the agent, one for the program and one for each command.
///
/// They are generated from the definition of the command line, so the agent is compiled; its build needs the eBPF toolchain,
/// which is found or installed first. Read them with `man -l target/man/narrows.1`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to write them to [default: man, in the target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the pages, and prints their names.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    // Relative to the directory of the call, not to where cargo runs it.
    let out = match &args.out {
        Some(out) => std::path::absolute(out).with_context(|| format!("--out {}", out.display()))?,
        None => workspace::target_dir()?.join("man"),
    };
    let mut cargo = workspace::cargo()?;
    cargo.args(["run", "--quiet", "--package", "narrows", "--example", "man", "--"]);
    workspace::run(cargo.arg(&out))?;
    let entries = fs::read_dir(&out).with_context(|| format!("cannot read {}", out.display()))?;
    let mut pages: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pages.retain(|page| page.extension().is_some_and(|section| section == "1"));
    pages.sort();
    for page in pages {
        println!("{}", page.display());
    }
    Ok(())
}
