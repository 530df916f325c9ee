//! The command line: one module a command, and what several of them share.

mod agent;
mod all_nodes;
mod check;
mod completions;
mod drain;
mod failures;
mod http;
mod metrics;
mod name;
mod output;
mod policy;
mod prometheus;
mod rehearse;
mod report;
mod settings;
mod top;
mod uninstall;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// What `--help` says after the commands.
const HELP: &str = "\
Examples:
  # What this kernel and these privileges allow
  narrows check
  # Count connections, with workloads and proxies named in a file
  narrows agent --inventory /etc/narrows/inventory.yaml
  # Which points are in trouble, and who depends on them
  narrows top
  # Watch connections fail
  narrows failures --follow

`narrows COMMAND --help` says what a command needs, with examples.";

/// Node telemetry for the enforcement points of service meshes
///
/// Watches every TCP connection of this node from inside the kernel, and exports for each shared proxy (ztunnel, waypoint, gateway,
/// zone proxy) its load, its failures and the workloads that depend on it.
#[derive(Parser)]
#[command(name = "narrows", version, after_long_help = HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The help of each is the comment on its options.
#[derive(Subcommand)]
enum Command {
    Agent(agent::Options),
    Check(check::Options),
    Top(top::Options),
    Failures(failures::Options),
    Report(report::Options),
    Rehearse(rehearse::Options),
    Drain(drain::Options),
    Policy(policy::Options),
    Metrics(metrics::Options),
    Uninstall(uninstall::Options),
    Completions(completions::Options),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// What the command could not do, with a sentence that says what to do about it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Agent(options) => agent::run(&options),
            Command::Check(options) => check::run(&options),
            Command::Top(options) => top::run(&options),
            Command::Failures(options) => failures::run(&options),
            Command::Report(options) => report::run(&options),
            Command::Rehearse(options) => rehearse::run(&options),
            Command::Drain(options) => drain::run(&options),
            Command::Policy(options) => policy::run(&options),
            Command::Metrics(options) => metrics::run(&options),
            Command::Uninstall(options) => uninstall::run(&options),
            Command::Completions(options) => completions::run(&options, &mut Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    /// The examples in a help text, as the words that the program gets: without what runs it, and without what happens to its
    /// output.
    fn examples(help: &str) -> Vec<Vec<&str>> {
        let mut lines = help.lines().skip_while(|line| *line != "Examples:");
        lines.next();
        let lines = lines.map(str::trim).take_while(|line| !line.is_empty());
        let commands = lines.filter(|line| !line.starts_with('#'));
        commands
            .map(|line| {
                let line = line.split_once(" -- ").map_or(line, |(_, command)| command);
                let line = line.split([';', '|', '>']).next().unwrap_or(line);
                line.split_whitespace().collect()
            })
            .collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_has_examples_that_work() {
        let command = Cli::command();
        for command in command.get_subcommands().chain([&command]) {
            let name = command.get_name();
            let (short, long) = (command.get_about(), command.get_long_about());
            let (short, long) = (short.expect(name).to_string(), long.expect(name).to_string());
            assert!(long.len() > short.len() + 80, "{name}: {long}");
            let help = command.get_after_long_help().expect(name).to_string();
            let examples = examples(&help);
            assert!((2..=4).contains(&examples.len()), "{name}: {help}");
            for example in examples {
                assert_eq!(example[0], "narrows", "{example:?}");
                assert!(name == "narrows" || example[1] == name, "{example:?}");
                let parsed = Cli::command().try_get_matches_from(&example);
                parsed.unwrap_or_else(|error| panic!("{example:?}: {error}"));
            }
        }
    }

    #[test]
    fn every_flag_says_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", command.get_name());
            }
        }
    }

    #[test]
    fn every_shell_completes_every_command_and_its_flags() {
        for shell in Shell::value_variants() {
            let script = completions::script(*shell, &mut Cli::command());
            let script = String::from_utf8(script).expect("UTF-8");
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
