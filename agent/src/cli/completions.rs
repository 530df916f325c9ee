//! `narrows completions`: scripts by which shells complete the command line.

use super::output::print;
use clap::{Args, Command};
use clap_complete::Shell;
use std::process::ExitCode;

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # bash, for all users
  narrows completions bash > /usr/share/bash-completion/completions/narrows
  # zsh, where ~/.zfunc is in $fpath
  narrows completions zsh > ~/.zfunc/_narrows
  # fish
  narrows completions fish > ~/.config/fish/completions/narrows.fish";

/// Print a completion script for a shell
///
/// Writes to stdout a script with which the shell completes commands, flags and their values. Needs no privileges and no agent.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// The shell that the script is for
    shell: Shell,
}

/// Writes the script for a command line to stdout.
///
/// # Errors
/// When it cannot be written.
pub fn run(options: &Options, command: &mut Command) -> anyhow::Result<ExitCode> {
    print(script(options.shell, command))?;
    Ok(ExitCode::SUCCESS)
}

/// The script. It is built in memory, as the library panics when a write fails.
pub fn script(shell: Shell, command: &mut Command) -> Vec<u8> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, command, name, &mut script);
    script
}
