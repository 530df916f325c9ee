//! Writes the man pages of `narrows` into a directory, one for the program and one for each command. `cargo xtask man` runs it.

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser};
use narrows::cli::Cli;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Write the man pages of narrows
#[derive(Parser)]
struct Arguments {
    /// Directory to write to; it is made if it does not exist
    out: PathBuf,
}

fn main() -> Result<()> {
    write(&Arguments::parse().out)
}

fn write(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make the directory {}", out.display()))?;
    clap_mangen::generate_to(Cli::command(), out).with_context(|| format!("cannot write to {}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_on_that_of_the_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let out = directory.path().join("man");
        write(&out).expect("written");
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let overview = read("narrows.1");
        let command = Cli::command();
        for command in command.get_subcommands() {
            let name = command.get_name();
            assert!(overview.contains(&format!("narrows\\-{name}(1)")), "{name}: {overview}");
            let page = read(&format!("narrows-{name}.1"));
            assert!(page.contains("Examples:"), "{page}");
            for argument in command.get_arguments().filter_map(clap::Arg::get_long) {
                let argument = argument.replace('-', "\\-");
                assert!(page.contains(&format!("\\-\\-{argument}")), "{name}: {argument}");
            }
        }
        let pages = fs::read_dir(&out).expect("a directory").count();
        assert_eq!(pages, command.get_subcommands().count() + 1, "and nothing else");
    }
}
