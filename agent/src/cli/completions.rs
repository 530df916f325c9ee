//! `narrows completions`: scripts by which shells complete the command line.

use super::{Cli, output::print};
use clap::{Args, CommandFactory as _};
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
/// Writes to stdout the script by which the shell completes commands, flags and their values. Needs no privileges and no agent.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// The shell that the script is for
    shell: Shell,
}

/// Writes the script to stdout.
///
/// # Errors
/// When it cannot be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    print(script(options.shell))?;
    Ok(ExitCode::SUCCESS)
}

/// Made in memory, as the library panics where it cannot write.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "narrows", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_completes_every_command_and_its_flags() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("UTF-8");
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: {name}");
                for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                    assert!(script.contains(flag), "{shell}: {name} --{flag}");
                }
            }
        }
    }
}
