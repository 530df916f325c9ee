//! `cargo xtask vm-test`: the tests of the agent on other kernels, in virtual machines.
//!
//! A guest is one of Debian's kernels and an archive of files: the programs that cargo built and those of this machine
//! that they call, all at the paths that they have here. Its first process, `narrows-guest` of the testbed, runs each test
//! in a process of its own and reports over a serial line.

mod cpio;
mod files;
pub(crate) mod kernel;
mod machine;
mod modules;
mod programs;
mod report;
mod suite;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use narrows_testbed::{
    guest::{ORDERS, Orders, Test},
    pace,
    tools::ACTOR,
};

use crate::{
    setup::{self, Purpose, tools::QEMU},
    workspace,
};

use files::Files;
use kernel::Series;
use machine::Machine;
use programs::Programs;
use report::Verdicts;

/// Run the tests of the agent on other kernels, in virtual machines.
///
/// The newest Linux 6.1 and 6.12 of Debian are booted by QEMU, without hardware acceleration and without root. Which tests
/// run there, and why, says xtask/src/vm/suite.rs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only on this kernel
    #[arg(long, value_enum, value_name = "SERIES")]
    kernel: Option<Series>,
    /// Only tests with one of these words in their names, such as `open::`
    #[arg(last = true, value_name = "FILTERS")]
    filters: Vec<String>,
}

/// How many times slower than this machine a guest is, about.
const SLOWNESS: &str = "20";

/// How long a test may take in a guest.
const TEST_LIMIT: Duration = Duration::from_secs(180);

/// Sets up, builds and tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Tests)?;
    let all = Series::ALL;
    test(
        args.kernel.as_ref().map_or(&all[..], std::slice::from_ref),
        &args.filters,
    )
}

/// Builds, and runs the tests whose names contain one of the filters, on these kernels at the same time.
///
/// # Errors
/// A test failed or did not run, or a guest did not come to its end.
pub(crate) fn test(kernels: &[Series], filters: &[String]) -> Result<()> {
    let start = Instant::now();
    let target_dir = workspace::target_dir()?;
    let programs = Programs::build()?;
    let tests = programs.tests(filters)?;
    let files = common_files(&programs, &target_dir)?;
    let host = Host {
        target_dir: &target_dir,
        tests: &tests,
        files: &files,
        environment: environment(&programs, &target_dir)?,
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let guests: Vec<_> = kernels.iter().map(|series| scope.spawn(|| host.run(*series))).collect();
        let joined = guests.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|outcome| outcome.unwrap_or_else(|_| Err(anyhow!("a thread panicked, as said above"))))
            .collect()
    });
    let mut failed = false;
    for (series, outcome) in kernels.iter().zip(outcomes) {
        match outcome {
            Ok(sentence) => println!("{sentence}"),
            Err(error) => {
                failed = true;
                eprintln!("error: Linux {series}: {error:#}");
            }
        }
    }
    let seconds = start.elapsed().as_secs();
    if failed {
        bail!("tests on other kernels failed after {seconds} s, as said above");
    }
    println!("all tests on other kernels passed in {seconds} s");
    Ok(())
}

/// What all guests have in common.
struct Host<'a> {
    target_dir: &'a Path,
    tests: &'a [Test],
    files: &'a Files,
    environment: Vec<(String, String)>,
}

impl Host<'_> {
    /// Runs the tests on one kernel, and returns a sentence about it.
    fn run(&self, series: Series) -> Result<String> {
        let kernel = kernel::find(self.target_dir, series)?;
        let archive = self.pack(series, &kernel)?;
        let console = archive.with_file_name(format!("console-{series}.log"));
        let qemu = workspace::tools_dir(self.target_dir).join(QEMU);
        let mut machine = Machine::boot(&qemu, &kernel, &archive, console.clone())?;
        let mut verdicts = Verdicts::on(self.tests.iter().map(|test| test.name.clone()));
        let outcome = listen(&mut machine, &mut verdicts);
        let name = short(verdicts.release().unwrap_or(&kernel.release)).to_owned();
        let seconds = machine.elapsed().as_secs();
        match (outcome, verdicts.sum_up()) {
            (Ok(()), Ok(count)) => Ok(format!("Linux {name}: {count} tests passed in {seconds} s")),
            (Ok(()), Err(shortfall)) if shortfall.end.is_none() => bail!("{shortfall}"),
            (outcome, shortfall) => {
                let why = outcome.err().map(|error| format!("{error:#}; ")).unwrap_or_default();
                let shortfall = shortfall
                    .err()
                    .map(|shortfall| shortfall.to_string())
                    .unwrap_or_default();
                let (console, words) = (console.display(), machine.last_words());
                bail!("{why}{shortfall}\nthe end of its console ({console}):\n{words}")
            }
        }
    }

    /// Writes the archive of a kernel's guest.
    fn pack(&self, series: Series, kernel: &kernel::Kernel) -> Result<PathBuf> {
        let mut files = self.files.clone();
        let mut modules = Vec::new();
        for module in modules::in_order(kernel)? {
            let name = module
                .file_name()
                .with_context(|| format!("{} has no name", module.display()))?;
            let place = Path::new("/modules").join(name);
            files.copy(&place, &module);
            modules.push(place);
        }
        let orders = Orders {
            modules,
            environment: self.environment.clone(),
            limit: TEST_LIMIT,
            tests: self.tests.to_vec(),
        };
        files.text(Path::new(ORDERS), serde_json::to_vec(&orders)?);
        let archive = self.target_dir.join("vm").join(format!("guest-{series}.cpio"));
        files.pack(&archive)?;
        Ok(archive)
    }
}

/// Follows a guest to its end.
fn listen(machine: &mut Machine, verdicts: &mut Verdicts) -> Result<()> {
    while let Some(line) = machine.line()? {
        if let Some(told) = verdicts.take(&line)? {
            println!("Linux {}: {told}", short(verdicts.release().unwrap_or("?")));
        }
        if verdicts.is_over() {
            return machine.off();
        }
    }
    Ok(())
}

/// The release without what all of them are.
fn short(release: &str) -> &str {
    release.strip_suffix("-cloud-amd64").unwrap_or(release)
}

/// The environment of the tests in a guest.
fn environment(programs: &Programs, target_dir: &Path) -> Result<Vec<(String, String)>> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .with_context(|| format!("{} is not UTF-8", path.display()))
    };
    let variables = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("CARGO_TARGET_DIR", text(target_dir)?),
        (ACTOR, text(&programs.actor)?),
        (pace::SLOWNESS, SLOWNESS.to_owned()),
    ];
    Ok(variables.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// All files that do not depend on the kernel.
fn common_files(programs: &Programs, target_dir: &Path) -> Result<Files> {
    let mut files = Files::default();
    files.directory(Path::new("/tmp"), 0o1777);
    // The kernel opens the one for its first process, and Rust's library the other one, before anything is mounted.
    files.device(Path::new("/dev/console"), 5, 1);
    files.device(Path::new("/dev/null"), 1, 3);
    let called = suite::SUITE.iter().flat_map(|entry| entry.programs);
    for program in suite::PROGRAMS.iter().chain(called) {
        files.program(program)?;
    }
    files.all_of(Path::new(IPTABLES_LIBRARIES))?;
    let stripped = target_dir.join("vm/stripped");
    for program in programs.all() {
        files.libraries(program)?;
        files.copy(program, &programs::stripped(program, &stripped)?);
    }
    files.copy(Path::new("/init"), &programs::stripped(&programs.guest, &stripped)?);
    Ok(files)
}

/// Where Debian's iptables has its matches and targets, which it loads when a rule names them.
const IPTABLES_LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu/xtables";
