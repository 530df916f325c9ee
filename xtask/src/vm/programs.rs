//! Builds the programs that run in the guests: the agent, the testbed's programs, and the tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use narrows_testbed::guest::Test;
use serde_json::Value;

use crate::{
    guests::guest::Guest,
    setup::cross::Cross,
    system::architecture::Architecture,
    workspace::{self, find_program, output},
};

use super::suite::{self, Entry, SUITE};

/// Programs that were built for machines of one architecture.
pub(crate) struct Programs {
    /// The path of the agent.
    pub(crate) agent: PathBuf,
    /// The program that stands in for parts of the miniature mesh.
    pub(crate) actor: PathBuf,
    /// The program of a guest's first process.
    pub(crate) guest: PathBuf,
    tests: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds all programs for this machine, as `cargo xtask test` does.
    ///
    /// # Errors
    /// It does not compile; cargo says why.
    pub(crate) fn build() -> Result<Self> {
        workspace::run(workspace::cargo()?.arg("build"))?;
        let mut cargo = workspace::cargo()?;
        // With the packages of all tests, as they affect the enabled features: without them, much would be rebuilt.
        cargo.args(["test", "--workspace", "--exclude", "agent-ebpf"]);
        cargo.args(SUITE.iter().flat_map(|entry| ["--test", entry.tests]));
        Self::built(&mut cargo, &workspace::target_dir()?)
    }

    /// Builds all programs for guests of another architecture.
    ///
    /// # Errors
    /// It does not compile; cargo says why.
    pub(crate) fn build_for(architecture: Architecture, guests: &[Guest]) -> Result<Self> {
        let target_dir = workspace::target_dir()?;
        let cross = Cross::inspect(architecture, &target_dir);
        let packages = ["--package", "narrows", "--package", "narrows-testbed"];
        workspace::run(cross.cargo("build")?.args(packages))?;
        let mut cargo = cross.cargo("test")?;
        cargo.args(packages);
        let mut tests: Vec<_> = guests
            .iter()
            .flat_map(|guest| suite::on(*guest))
            .map(|entry| entry.tests)
            .collect();
        tests.sort_unstable();
        tests.dedup();
        cargo.args(tests.iter().flat_map(|test| ["--test", test]));
        Self::built(&mut cargo, &target_dir.join(architecture.triple()))
    }

    /// Builds the tests of the given `cargo` command; the other programs are in `directory` already.
    fn built(cargo: &mut Command, directory: &Path) -> Result<Self> {
        cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
        let line = workspace::command_line(cargo);
        let output = cargo
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !output.status.success() {
            bail!("`{line}` failed ({}); see its output above", output.status);
        }
        let built = directory.join("debug");
        Ok(Self {
            agent: built.join("narrows"),
            actor: built.join("narrows-actor"),
            guest: built.join("narrows-guest"),
            tests: executables(&String::from_utf8_lossy(&output.stdout)),
        })
    }

    /// The paths of all programs.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let programs = [&self.agent, &self.actor, &self.guest].into_iter();
        programs.chain(self.tests.values()).map(PathBuf::as_path)
    }

    /// The tests of a guest whose names contain one of the filters; all without filters. There may be none.
    ///
    /// `lists` has the same programs for this machine, as those of another architecture cannot be run here to list their tests.
    ///
    /// # Errors
    /// A test program does not run, or the table is wrong.
    pub(crate) fn tests(&self, lists: &Self, guest: Guest, filters: &[String]) -> Result<Vec<Test>> {
        let mut tests = Vec::new();
        for entry in suite::on(guest) {
            let list = output(Command::new(lists.test(entry)?).args(["--list", "--format", "terse"]))?;
            let picked = entry.pick(&listed(&list)).map_err(anyhow::Error::msg)?;
            for function in picked {
                tests.push(Test {
                    program: self.test(entry)?.to_owned(),
                    function: function.to_owned(),
                    name: format!("{}::{function}", entry.tests),
                });
            }
        }
        if !filters.is_empty() {
            tests.retain(|test| filters.iter().any(|filter| test.name.contains(filter)));
        }
        Ok(tests)
    }

    fn test(&self, entry: &Entry) -> Result<&Path> {
        let program = self.tests.get(entry.tests).map(PathBuf::as_path);
        program.with_context(|| format!("cargo built no test {}", entry.tests))
    }
}

/// A copy of a program without debug information, which is most of its size.
///
/// # Errors
/// There is no `strip` for the architecture, or it fails.
pub(crate) fn stripped(program: &Path, architecture: Architecture, directory: &Path) -> Result<PathBuf> {
    let name = program
        .file_name()
        .with_context(|| format!("{} is not a program", program.display()))?;
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let copy = directory.join(name);
    let tool = match architecture.is_here() {
        true => "strip".to_owned(),
        // It is part of the compiler's package.
        false => format!("{}-strip", architecture.gnu()),
    };
    let strip = find_program(&tool).with_context(|| format!("no {tool}: install binutils"))?;
    output(Command::new(strip).arg("-o").args([&copy, program]))?;
    Ok(copy)
}

/// Test programs by name, from cargo's JSON messages.
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

/// The names in a test program's output of `--list`.
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
