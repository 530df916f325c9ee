//! Compares the reports of a guest with the tests that it was ordered to run.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result};
use narrows_testbed::guest::Report;

/// The results of a guest's tests so far.
#[derive(Debug)]
pub(crate) struct Verdicts {
    tests: BTreeMap<String, Option<Verdict>>,
    /// The kernel's release, once the guest has reported it.
    release: Option<String>,
    end: Option<Result<(), String>>,
}

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
}

impl Verdicts {
    /// No results yet for these tests.
    pub(crate) fn on(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            tests: names.into_iter().map(|name| (name, None)).collect(),
            release: None,
            end: None,
        }
    }

    /// Processes a line of the guest, and returns the line to print on the host's terminal.
    ///
    /// # Errors
    /// The guest's line is invalid or unexpected.
    pub(crate) fn take(&mut self, line: &str) -> Result<Option<String>> {
        let report = serde_json::from_str(line).with_context(|| format!("cannot parse the guest's report {line:?}"))?;
        match report {
            Report::Ready { release } => {
                let text = format!("{} tests", self.tests.len());
                self.release = Some(release);
                Ok(Some(text))
            }
            Report::Ended {
                name,
                code,
                seconds,
                output,
            } => {
                let place = self.tests.get_mut(&name);
                let place = place.with_context(|| format!("the guest ran {name}, which it was not ordered to run"))?;
                anyhow::ensure!(place.is_none(), "the guest ran {name} twice");
                let verdict = verdict(code, &output);
                *place = Some(verdict);
                Ok(Some(match verdict {
                    Verdict::Passed => format!("test {name} ... ok ({seconds:.1} s)"),
                    Verdict::Failed => format!("test {name} ... FAILED ({seconds:.1} s)\n{}", output.trim_end()),
                }))
            }
            Report::Broken(why) => {
                self.end = Some(Err(why));
                Ok(None)
            }
            Report::Done => {
                self.end = Some(Ok(()));
                Ok(None)
            }
        }
    }

    /// The kernel's release, once the guest has reported it.
    pub(crate) fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Whether the guest has sent its last report.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The number of passed tests, if all passed and the guest finished.
    ///
    /// # Errors
    /// What is missing or failed.
    pub(crate) fn sum_up(&self) -> Result<usize, Shortfall> {
        let with = |verdict| {
            let names = self.tests.iter().filter(move |(_, found)| **found == verdict);
            names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let shortfall = Shortfall {
            all: self.tests.len(),
            failed: with(Some(Verdict::Failed)),
            not_run: with(None),
            end: match &self.end {
                Some(Ok(())) => None,
                Some(Err(why)) => Some(why.clone()),
                None => Some("it ended early".to_owned()),
            },
        };
        if shortfall.failed.is_empty() && shortfall.not_run.is_empty() && shortfall.end.is_none() {
            Ok(shortfall.all)
        } else {
            Err(shortfall)
        }
    }
}

/// A test passes only if its program reports that it ran, as an ignored or filtered-out test also exits with 0.
fn verdict(code: Option<i32>, output: &str) -> Verdict {
    let ran = output
        .lines()
        .any(|line| line.starts_with("test result: ok. 1 passed; 0 failed; 0 ignored;"));
    if code == Some(0) && ran {
        Verdict::Passed
    } else {
        Verdict::Failed
    }
}

/// Why a guest's tests did not all pass.
#[derive(Debug)]
pub(crate) struct Shortfall {
    all: usize,
    failed: Vec<String>,
    not_run: Vec<String>,
    /// Why the guest itself did not finish.
    pub(crate) end: Option<String>,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(why) = &self.end {
            parts.push(format!("the guest did not finish: {why}"));
        }
        for (what, names) in [("failed", &self.failed), ("did not run", &self.not_run)] {
            if !names.is_empty() {
                parts.push(format!(
                    "{} of {} tests {what}: {}",
                    names.len(),
                    self.all,
                    names.join(", ")
                ));
            }
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str =
        "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
    const NOTHING: &str = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n";

    fn line(report: &Report) -> String {
        serde_json::to_string(report).expect("JSON")
    }

    fn ended(name: &str, code: Option<i32>, output: &str) -> String {
        line(&Report::Ended {
            name: name.to_owned(),
            code,
            seconds: 1.25,
            output: output.to_owned(),
        })
    }

    fn on(names: &[&str]) -> Verdicts {
        Verdicts::on(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn all_tests_have_to_run_and_to_pass() {
        let mut verdicts = on(&["open::a", "open::b"]);
        let release = "6.1.0-56-cloud-amd64".to_owned();
        verdicts.take(&line(&Report::Ready { release })).expect("a report");
        assert_eq!(verdicts.release(), Some("6.1.0-56-cloud-amd64"));
        let told = verdicts.take(&ended("open::a", Some(0), PASSED)).expect("a report");
        assert_eq!(told.as_deref(), Some("test open::a ... ok (1.2 s)"));
        assert!(!verdicts.is_over());
        verdicts.take(&line(&Report::Done)).expect("a report");
        assert!(verdicts.is_over());
        let shortfall = verdicts.sum_up().expect_err("one did not run").to_string();
        assert_eq!(shortfall, "1 of 2 tests did not run: open::b");
        verdicts.take(&ended("open::b", Some(0), PASSED)).expect("a report");
        assert_eq!(verdicts.sum_up().expect("all passed"), 2);
    }

    #[test]
    fn what_did_not_run_does_not_pass() {
        for (code, output) in [(Some(0), NOTHING), (Some(101), PASSED), (None, PASSED), (Some(0), "")] {
            let mut verdicts = on(&["open::a"]);
            let told = verdicts
                .take(&ended("open::a", code, output))
                .expect("a report")
                .expect("a line");
            assert!(told.starts_with("test open::a ... FAILED (1.2 s)\n"), "{told}");
            verdicts.take(&line(&Report::Done)).expect("a report");
            let shortfall = verdicts.sum_up().expect_err("it failed").to_string();
            assert_eq!(shortfall, "1 of 1 tests failed: open::a");
        }
    }

    #[test]
    fn a_guest_that_ends_early_or_breaks_fails_whatever_passed() {
        let mut verdicts = on(&["open::a"]);
        verdicts.take(&ended("open::a", Some(0), PASSED)).expect("a report");
        let early = verdicts.sum_up().expect_err("no end").to_string();
        assert_eq!(early, "the guest did not finish: it ended early");
        verdicts
            .take(&line(&Report::Broken("no ip".to_owned())))
            .expect("a report");
        let broken = verdicts.sum_up().expect_err("no good end").to_string();
        assert_eq!(broken, "the guest did not finish: no ip");
    }

    #[test]
    fn noise_strangers_and_repetitions_are_errors() {
        let mut verdicts = on(&["open::a"]);
        verdicts.take(&ended("open::a", Some(0), PASSED)).expect("a report");
        for line in [
            &ended("open::a", Some(0), PASSED),
            &ended("open::z", Some(0), PASSED),
            "[ 1.0] Oops",
            "",
        ] {
            assert!(verdicts.take(line).is_err(), "{line}");
        }
    }
}
