//! Building what runs in the guests: the agent, the testbed's programs, and the tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use narrows_testbed::guest::Test;
use serde_json::Value;

use crate::workspace::{self, find_program, output};

use super::suite::{Entry, SUITE};

/// Programs that were built for this machine, and run on its kernel or another.
pub(crate) struct Programs {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// The parts of the miniature mesh.
    pub(crate) actor: PathBuf,
    /// The first process of a guest.
    pub(crate) guest: PathBuf,
    tests: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds all of it, as `cargo xtask test` does.
    ///
    /// # Errors
    /// It does not compile; cargo says why.
    pub(crate) fn build() -> Result<Self> {
        workspace::run(workspace::cargo()?.arg("build"))?;
        let mut cargo = workspace::cargo()?;
        // The packages of the other tests decide on features, too: without them, much would be compiled once more.
        cargo.args(["test", "--workspace", "--exclude", "agent-ebpf", "--no-run"]);
        cargo.args(["--message-format", "json-render-diagnostics"]);
        cargo.args(SUITE.iter().flat_map(|entry| ["--test", entry.tests]));
        let line = workspace::command_line(&cargo);
        let output = cargo
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !output.status.success() {
            bail!("`{line}` failed ({}); what it says stands above", output.status);
        }
        let built = workspace::target_dir()?.join("debug");
        Ok(Self {
            agent: built.join("narrows"),
            actor: built.join("narrows-actor"),
            guest: built.join("narrows-guest"),
            tests: executables(&String::from_utf8_lossy(&output.stdout)),
        })
    }

    /// Each of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let programs = [&self.agent, &self.actor, &self.guest].into_iter();
        programs.chain(self.tests.values()).map(PathBuf::as_path)
    }

    /// The tests of the table whose names contain one of the filters; all of them without filters.
    ///
    /// # Errors
    /// A test program does not run, the table is wrong, or there is no such test.
    pub(crate) fn tests(&self, filters: &[String]) -> Result<Vec<Test>> {
        let mut tests = Vec::new();
        for entry in &SUITE {
            tests.extend(self.tests_of(entry)?);
        }
        if !filters.is_empty() {
            tests.retain(|test| filters.iter().any(|filter| test.name.contains(filter)));
        }
        if tests.is_empty() {
            bail!("no test of the guests has {} in its name", filters.join(" or "));
        }
        Ok(tests)
    }

    fn tests_of(&self, entry: &Entry) -> Result<Vec<Test>> {
        let program = self.tests.get(entry.tests);
        let program = program.with_context(|| format!("cargo built no test {}", entry.tests))?;
        let list = output(Command::new(program).args(["--list", "--format", "terse"]))?;
        let picked = entry.pick(&listed(&list)).map_err(anyhow::Error::msg)?;
        let tests = picked.into_iter().map(|function| Test {
            program: program.clone(),
            function: function.to_owned(),
            name: format!("{}::{function}", entry.tests),
        });
        Ok(tests.collect())
    }
}

/// A copy of a program without what a debugger needs, which is most of it.
///
/// # Errors
/// There is no `strip`, or it fails.
pub(crate) fn stripped(program: &Path, directory: &Path) -> Result<PathBuf> {
    let name = program
        .file_name()
        .with_context(|| format!("{} is no program", program.display()))?;
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let copy = directory.join(name);
    let strip = find_program("strip").context("no strip: install binutils")?;
    output(Command::new(strip).arg("-o").args([&copy, program]))?;
    Ok(copy)
}

/// Test programs by name, from what cargo says in JSON.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tests =
        messages.filter(|message| message["reason"] == "compiler-artifact" && message["target"]["kind"][0] == "test");
    let named = tests.filter_map(|message| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, message["executable"].as_str()?.into()))
    });
    named.collect()
}

/// The names in a test program's own list.
fn listed(list: &str) -> Vec<&str> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_taken_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"narrows"},"executable":"/t/narrows"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"open"},"executable":"/t/deps/open-1"}
{"reason":"build-finished","success":true}
"#;
        let expected = BTreeMap::from([("open".to_owned(), PathBuf::from("/t/deps/open-1"))]);
        assert_eq!(executables(messages), expected);
    }

    #[test]
    fn benchmarks_are_no_tests() {
        assert_eq!(listed("a::b: test\nc: benchmark\nd: test\n"), ["a::b", "d"]);
    }
}
