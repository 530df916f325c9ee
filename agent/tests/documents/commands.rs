//! Commands and flags are those of the program.

use super::{
    manual,
    page::{Page, spans},
};
use narrows_testbed::{command, tools};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A flag as the help declares it, and its variable.
pub type Flags = BTreeMap<String, Option<String>>;

fn narrows() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_narrows"))
}

/// `xtask`, built on the first call: Cargo builds binaries only for tests of their own crate.
fn xtask() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "xtask"]);
        build.env("CARGO_TARGET_DIR", tools::target_dir());
        // What Cargo tells tests about their package would make it build again what looks at that, as in `tools::actor`.
        let told =
            |name: &str| name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
            build.env_remove(name);
        }
        let output = command::output(&mut build).expect("Cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        tools::target_dir().join("debug/xtask")
    })
}

/// The text of `<program> <arguments> --help`; what the program objects to when it does not accept the arguments.
fn help(program: &Path, arguments: &[&str]) -> Result<String, String> {
    // What stands behind `--` is for somebody else.
    let own = arguments.iter().take_while(|argument| **argument != "--");
    let mut command = Command::new(program);
    command.args(own).arg("--help");
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("NARROWS_")) {
        command.env_remove(variable);
    }
    let output = command::output(&mut command).expect("it runs");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The names of the commands in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    assert!(!names.is_empty(), "no commands in {help}");
    names
}

/// The flags that a help text declares.
fn flags(help: &str) -> Flags {
    let mut flags = Flags::new();
    let mut last = String::new();
    for line in help.lines().map(str::trim) {
        if line.starts_with('-') {
            // A dash alone begins one of its possible values.
            for word in line
                .split([' ', ',', '='])
                .filter(|word| word.starts_with('-') && word.len() > 1)
            {
                flags.insert(word.to_owned(), None);
                last = word.to_owned();
            }
        }
        if let Some((_, rest)) = line.split_once("[env: ") {
            let variable = rest.split(['=', ']']).next().unwrap_or_default();
            flags.insert(last.clone(), Some(variable.to_owned()));
        }
    }
    flags
}

/// The flags of a command of `narrows`.
pub fn flags_of(command: &str) -> Flags {
    flags(&help(narrows(), &[command]).expect("a command"))
}

/// All help texts of `narrows`.
pub fn all_help() -> String {
    let top = help(narrows(), &[]).expect("help");
    let commands = subcommands(&top);
    let each = commands.iter().map(|name| help(narrows(), &[name]).expect("help"));
    top.clone() + &each.collect::<String>()
}

/// A program and its arguments, when a line runs one of ours.
fn command(line: &str) -> Option<(&'static str, Vec<&str>)> {
    let words: Vec<_> = line
        .split_whitespace()
        .skip_while(|word| matches!(*word, "$" | "sudo" | "nice"))
        .collect();
    let is_narrows = |word: &str| word == "narrows" || word.ends_with("release/narrows");
    match &words[..] {
        ["cargo", "xtask", arguments @ ..] if !arguments.is_empty() => Some(("xtask", arguments.to_vec())),
        ["kubectl", ..] => {
            let behind = words.iter().position(|word| *word == "--")?;
            let inner = &words[behind + 1..];
            inner
                .first()
                .filter(|word| is_narrows(word))
                .map(|_| ("narrows", inner[1..].to_vec()))
        }
        [first, arguments @ ..] if is_narrows(first) && !arguments.is_empty() => Some(("narrows", arguments.to_vec())),
        _ => None,
    }
}

/// All commands that a page shows, in code spans and in blocks for a terminal.
fn commands(page: &Page) -> BTreeSet<(&'static str, Vec<String>)> {
    let blocks = page
        .blocks
        .iter()
        .filter(|block| matches!(&*block.language, "" | "sh" | "console"));
    let lines = blocks.flat_map(|block| block.text.lines().map(str::to_owned));
    let mut found = BTreeSet::new();
    for line in lines.chain(page.spans()) {
        let line = line.split(" #").next().unwrap_or_default();
        for part in line.split(['|', ';', '&']) {
            // Where its output goes is the shell's business.
            let part = part.split(" > ").next().unwrap_or(part);
            if let Some((program, arguments)) = command(part) {
                found.insert((program, arguments.into_iter().map(str::to_owned).collect()));
            }
        }
    }
    found
}

fn objection(program: &str, arguments: &[String]) -> Option<String> {
    let path = if program == "xtask" { xtask() } else { narrows() };
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // A command that `--help` would hide: `narrows nothing --help` fails, as it should.
    help(path, &arguments).err()
}

#[test]
fn every_command_is_accepted_by_its_program() {
    let mut number = 0;
    for page in super::links::all() {
        for (program, arguments) in commands(&page) {
            number += 1;
            if let Some(why) = objection(program, &arguments) {
                panic!("{}: {program} {}: {why}", page.name, arguments.join(" "));
            }
        }
    }
    assert!(number > 40, "only {number} commands were found");
}

#[test]
fn every_flag_in_a_code_span_is_one_of_a_command() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for program in [narrows(), xtask()] {
        let top = help(program, &[]).expect("help");
        known.extend(flags(&top).into_keys());
        for command in subcommands(&top) {
            known.extend(flags(&help(program, &[&command]).expect("help")).into_keys());
        }
    }
    for page in manual() {
        for span in page.spans().filter(|span| span.starts_with("--") && span.len() > 2) {
            let flag = span.split([' ', '=']).next().unwrap_or_default();
            assert!(known.contains(flag), "{}: no command has {flag}", page.name);
        }
    }
}

#[test]
fn every_flag_of_every_command_is_documented() {
    let (commands, settings) = (Page::read("docs/command-line.md"), Page::read("docs/configuration.md"));
    for command in subcommands(&help(narrows(), &[]).expect("help")) {
        assert!(
            commands.prose.contains(&format!("\n## narrows {command}\n")),
            "{command} has no section"
        );
        let page = if matches!(&*command, "agent" | "check") {
            &settings
        } else {
            &commands
        };
        let text: Vec<_> = page
            .spans()
            .chain(page.blocks.iter().map(|block| block.text.clone()))
            .collect();
        for flag in flags_of(&command).keys().filter(|flag| flag.starts_with("--")) {
            let is_there = text
                .iter()
                .flat_map(|text| text.split_whitespace())
                .any(|word| word == flag);
            assert!(
                is_there || flag == "--help",
                "{}: nothing of {command} {flag}",
                page.name
            );
        }
    }
}

#[test]
fn flags_and_variables_of_the_agent_are_those_in_the_table() {
    let written: Flags = Page::read("docs/configuration.md")
        .table("## Flags and variables")
        .iter()
        .map(|row| {
            let flag = spans(&row[0])[0].split(' ').next().unwrap_or_default();
            (flag.to_owned(), spans(&row[1]).first().map(|name| (*name).to_owned()))
        })
        .collect();
    for command in ["agent", "check"] {
        let mut flags = flags_of(command);
        flags.retain(|flag, _| flag.starts_with("--") && flag != "--help");
        assert_eq!(flags, written, "{command}");
    }
}

#[test]
fn what_no_program_accepts_is_found() {
    let objects = |line: &str| {
        let (program, arguments) = command(line).expect("a command");
        let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        objection(program, &arguments).is_some()
    };
    for good in [
        "narrows failures -f --point shop/waypoint",
        "$ sudo target/release/narrows agent --inventory FILE",
        "kubectl -n narrows exec POD -- narrows check",
        "cargo xtask demo --for 30s",
        "narrows --version",
    ] {
        assert!(!objects(good), "{good}");
    }
    for wrong in [
        "narrows failure",
        "narrows failures --pod a/b",
        "narrows report --format pdf",
        "kubectl exec POD -- narrows checks",
        "cargo xtask demo --four 30s",
    ] {
        assert!(objects(wrong), "{wrong}");
    }
    assert_eq!(command("kubectl -n narrows get pods"), None);
    assert_eq!(command("curl localhost:9797/metrics"), None);
}
