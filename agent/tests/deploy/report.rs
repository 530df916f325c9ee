//! The script of the report's CronJob, run against a Prometheus that answers, and against none.

use super::manifests::{only, with};
use narrows_testbed::command;
use serde_json::Value;
use std::{
    fs::{self, File, FileTimes},
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

/// A stand-in for the agent's program that notes how it was called, and writes what it is told to, or fails: always, or when it is to
/// compare.
const STAND_IN: &str = r#"#!/bin/sh
echo "$@" >> "$CALLS"
case "$SUCCEEDS $*" in
    "no "*|"not compared"*--compare*) exit 1 ;;
esac
while [ "$1" != --output ]; do shift; done
echo '{}' > "$2"
"#;

/// A report of nothing, as the agent's program writes it.
const EARLIER: &str = r#"{"version":1,"source":"a test","evidence":{"points":{},"modes":{},"enforced":{},"unenforced":{},"attributed":{},"bypasses":[],"agents":{}}}"#;

struct Volume(tempfile::TempDir);

impl Volume {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("reports")).expect("made");
        let program = directory.path().join("narrows");
        fs::write(&program, STAND_IN).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");
        Self(directory)
    }

    /// Runs the container's command with this directory in place of the volume's.
    fn run(&self, succeeds: &str) -> Output {
        let objects = with(&["report"]);
        let job = only(&objects, "CronJob");
        let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        let words = |field: &str| container[field].as_array().expect("words").iter().map(text);
        let mut words = words("command").chain(words("args"));
        let mut shell = Command::new(words.next().expect("a program"));
        let reports = self.reports();
        shell.args(words.map(|word| word.replace("/reports", reports.to_str().expect("UTF-8"))));
        for variable in container["env"].as_array().expect("variables") {
            shell.env(text(&variable["name"]), text(&variable["value"]));
        }
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        shell.env("PATH", path).env("CALLS", self.0.path().join("calls"));
        shell.env("SUCCEEDS", succeeds);
        command::output(&mut shell).expect("it starts")
    }

    fn reports(&self) -> std::path::PathBuf {
        self.0.path().join("reports")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.reports()).expect("reports");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.path().join("calls")).expect("it was called")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn make_old(file: &Path, days: u64) {
    fs::write(file, EARLIER).expect("written");
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_times(FileTimes::new().set_modified(then)))
        .expect("its time is set");
}

#[test]
fn each_day_has_a_report_and_old_ones_go() {
    let volume = Volume::new();
    make_old(&volume.reports().join("narrows-2020-01-01.json"), 402);
    make_old(&volume.reports().join("narrows-2020-01-02.json"), 399);
    make_old(&volume.reports().join("somebody-elses.json"), 402);
    let output = volume.run("yes");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = volume.names();
    let [kept, today, other] = &names[..] else {
        panic!("{names:?}")
    };
    assert_eq!(
        (kept.as_str(), other.as_str()),
        ("narrows-2020-01-02.json", "somebody-elses.json")
    );
    assert!(today.starts_with("narrows-20") && today.ends_with(".json"), "{today}");
    // A second run on the same day replaces it.
    volume.run("yes");
    assert_eq!(volume.names(), names);
}

#[test]
fn a_report_is_compared_with_the_last_one_if_that_can_be() {
    let volume = Volume::new();
    volume.run("yes");
    assert!(!volume.calls().contains("--compare"), "{}", volume.calls());
    // Today's own report is replaced, and says nothing about the past.
    for (name, days) in [
        ("narrows-2020-01-01.json", 3),
        ("narrows-2020-01-03.json", 1),
        ("narrows-2020-01-02.json", 2),
    ] {
        make_old(&volume.reports().join(name), days);
    }
    volume.run("yes");
    let last = volume.reports().join("narrows-2020-01-03.json");
    let compared = format!("--compare {}\n", last.display());
    assert!(volume.calls().ends_with(&compared), "{}", volume.calls());

    let output = volume.run("not compared");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = volume.calls();
    let calls: Vec<_> = calls.lines().collect();
    assert!(calls[calls.len() - 2].contains("--compare") && !calls[calls.len() - 1].contains("--compare"));
}

#[test]
fn the_agents_program_knows_what_it_is_asked() {
    let volume = Volume::new();
    make_old(&volume.reports().join("narrows-2020-01-01.json"), 1);
    volume.run("not compared");
    let calls = volume.calls();
    assert_eq!(calls.lines().count(), 2, "{calls}");
    for call in calls.lines() {
        // Nobody listens there: the words are understood, and the answer is missing.
        let url = |word| {
            if str::starts_with(word, "http") {
                "http://127.0.0.1:1"
            } else {
                word
            }
        };
        let mut program = Command::new(env!("CARGO_BIN_EXE_narrows"));
        let output = command::output(program.args(call.split_whitespace().map(url))).expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.contains("cannot reach Prometheus at http://127.0.0.1:1"),
            "{call}: {error}"
        );
    }
}

#[test]
fn a_report_that_failed_fails_the_job_and_leaves_nothing() {
    let volume = Volume::new();
    make_old(&volume.reports().join("narrows-2020-01-01.json"), 402);
    assert!(!volume.run("no").status.success());
    assert_eq!(
        volume.names(),
        ["narrows-2020-01-01.json"],
        "the last evidence stays while there is no new one"
    );
}
