//! `cargo xtask vm-test`: the tests of the agent on other kernels, in virtual machines.
//!
//! A guest is one of Debian's kernels and an archive of files: the programs that cargo built and those of this machine
//! that they call, all at the paths that they have here; for another architecture, those of Debian's packages. Its first
//! process, `narrows-guest` of the testbed, runs each test in a process of its own and reports over a serial line.

mod cpio;
mod files;
mod host;
mod libraries;
mod machine;
mod modules;
mod programs;
mod report;
mod suite;

use std::{
    panic::resume_unwind,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use narrows_testbed::{pace, tools::ACTOR};

use crate::{
    guests::{guest::Guest, root::Root},
    setup::{self, Purpose},
    system::architecture::Architecture,
    workspace,
};

use files::Files;
use host::Host;
use programs::Programs;

/// Run the tests of the agent on other kernels, in virtual machines.
///
/// The newest Linux 6.1 and 6.12 of Debian are booted by QEMU, without hardware acceleration and without root, and 6.12 once
/// more with `lockdown=confidentiality`; no more of them at the same time than there are processors. Which tests run there, and
/// why, says xtask/src/vm/suite.rs.
///
/// `--kernel arm64` builds agent and tests for 64-bit ARM and runs them on Linux 6.12 there. It installs a compiler for it, and
/// unpacks programs, a kernel and a QEMU, when they are missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only on this kernel
    #[arg(long, value_enum, value_name = "KERNEL")]
    kernel: Option<Guest>,
    /// Only tests with one of these words in their names, such as `open::`
    #[arg(last = true, value_name = "FILTERS")]
    filters: Vec<String>,
}

/// How many times slower than this machine a guest is, about.
const SLOWNESS: &str = "20";

/// Sets up, builds and tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.kernel {
        None => {
            setup::ensure(Purpose::Tests)?;
            test(&Guest::ALWAYS, &args.filters)
        }
        Some(guest) => {
            setup::ensure(Purpose::TestsOn(guest))?;
            test(&[guest], &args.filters)
        }
    }
}

/// Builds, and runs the tests whose names contain one of the filters, on these guests.
///
/// # Errors
/// A test failed or did not run, or a guest did not come to its end.
fn test(guests: &[Guest], filters: &[String]) -> Result<()> {
    let start = Instant::now();
    let hosts = hosts(guests, filters, false)?;
    tell(&side_by_side(&hosts, None::<fn()>).0, start)
}

/// Builds, and runs all tests on the guests that every change has to pass, beside `here`: the tests on this machine, which mostly
/// wait. The guests give way to them, and leave them a processor as far as there are several. Returns what has become of both.
///
/// # Errors
/// It does not compile, or something is missing.
pub(crate) fn test_beside<R>(here: impl FnOnce() -> R) -> Result<(R, Result<()>)> {
    let hosts = hosts(&Guest::ALWAYS, &[], true)?;
    let start = Instant::now();
    let (outcomes, here) = side_by_side(&hosts, Some(here));
    let here = here.context("the tests on this machine did not run")?;
    Ok((here, tell(&outcomes, start)))
}

/// Says what has become of the guests.
fn tell(outcomes: &[(Guest, Result<String>)], start: Instant) -> Result<()> {
    let mut failed = false;
    for (guest, outcome) in outcomes {
        match outcome {
            Ok(sentence) => println!("{sentence}"),
            Err(error) => {
                failed = true;
                eprintln!("error: Linux {guest}: {error:#}");
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

/// Builds, and packs what the guests need that have tests to run.
fn hosts(guests: &[Guest], filters: &[String], give_way: bool) -> Result<Vec<Host>> {
    let target_dir = workspace::target_dir()?;
    let here = Programs::build()?;
    let mut hosts = Vec::new();
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let of = |guest: &&Guest| guest.image().architecture == architecture;
        let guests: Vec<_> = guests.iter().filter(of).copied().collect();
        if guests.is_empty() {
            continue;
        }
        let built = match architecture.is_here() {
            true => None,
            false => Some(Programs::build_for(architecture, &guests)?),
        };
        let programs = built.as_ref().unwrap_or(&here);
        let files = common_files(programs, architecture, &guests, &target_dir)?;
        let environment = environment(programs, &target_dir)?;
        for guest in guests {
            hosts.push(Host {
                guest,
                target_dir: target_dir.clone(),
                tests: programs.tests(&here, guest, filters)?,
                files: files.clone(),
                environment: environment.clone(),
                gives_way: give_way,
            });
        }
    }
    hosts.retain(|host| !host.tests.is_empty());
    if hosts.is_empty() {
        bail!("no test of the guests has {} in its name", filters.join(" or "));
    }
    // In the order in which they were asked for.
    hosts.sort_by_key(|host| guests.iter().position(|guest| *guest == host.guest));
    Ok(hosts)
}

/// Runs guests, no more at the same time than there are processors: each keeps one busy, and what runs on less than that is
/// slower than its tests expect. While `beside` runs, it has one of the processors.
fn side_by_side<R>(hosts: &[Host], beside: Option<impl FnOnce() -> R>) -> (Vec<(Guest, Result<String>)>, Option<R>) {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let at_first = if beside.is_some() { processors - 1 } else { processors };
    let waiting = Mutex::new(hosts.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(host) = next() {
            outcomes.push((host.guest, host.run()));
        }
        outcomes
    };
    thread::scope(|scope| {
        let mut workers: Vec<_> = (0..at_first).map(|_| scope.spawn(work)).collect();
        let beside = beside.map(|beside| beside());
        workers.extend((at_first..processors).map(|_| scope.spawn(work)));
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        let outcomes = joined.flat_map(|outcomes| outcomes.unwrap_or_else(|panic| resume_unwind(panic)));
        (outcomes.collect(), beside)
    })
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

/// All files that do not depend on the kernel, for guests of one architecture.
fn common_files(programs: &Programs, architecture: Architecture, guests: &[Guest], target_dir: &Path) -> Result<Files> {
    let mut files = Files::of(Root::of(architecture, target_dir));
    files.directory(Path::new("/tmp"), 0o1777);
    // The kernel opens the one for its first process, and Rust's library the other one, before anything is mounted.
    files.device(Path::new("/dev/console"), 5, 1);
    files.device(Path::new("/dev/null"), 1, 3);
    let entries = guests.iter().flat_map(|guest| suite::on(*guest));
    for program in suite::PROGRAMS.iter().chain(entries.flat_map(|entry| entry.programs)) {
        files.program(program)?;
    }
    // Where Debian's iptables has its matches and targets, which it loads when a rule names them.
    files.all_of(&Path::new("/usr/lib").join(architecture.gnu()).join("xtables"))?;
    let stripped = target_dir
        .join("vm")
        .join(format!("stripped-{}", architecture.debian()));
    for program in programs.all() {
        files.libraries(program)?;
        files.copy(program, &programs::stripped(program, architecture, &stripped)?);
    }
    let init = programs::stripped(&programs.guest, architecture, &stripped)?;
    files.copy(Path::new("/init"), &init);
    Ok(files)
}
