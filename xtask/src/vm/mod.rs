//! `cargo xtask vm-test`: the tests of the agent on other kernels, in virtual machines.
//!
//! A guest consists of a Debian kernel and an archive of files: the programs that cargo built and those of this machine
//! that they call, all at the same paths as here; for another architecture, those of Debian packages. Its first
//! process, `narrows-guest` of the testbed, runs each test in a separate process and reports over a serial line.

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
/// QEMU boots Debian's newest Linux 6.1 and 6.12, without hardware acceleration and without root, and 6.12 again with
/// `lockdown=confidentiality`; at most as many at the same time as there are CPUs. xtask/src/vm/suite.rs lists the tests, with
/// reasons.
///
/// `--kernel arm64` builds agent and tests for 64-bit ARM and runs them on Linux 6.12. If they are missing, it installs a
/// cross-compiler, and unpacks programs, a kernel and a QEMU.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the tests on this kernel only
    #[arg(long, value_enum, value_name = "KERNEL")]
    kernel: Option<Guest>,
    /// Run only tests with one of these texts in their names, such as `open::`
    #[arg(last = true, value_name = "FILTERS")]
    filters: Vec<String>,
}

/// The approximate factor by which a guest is slower than this machine.
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
/// A test failed or did not run, or a guest did not finish.
fn test(guests: &[Guest], filters: &[String]) -> Result<()> {
    let start = Instant::now();
    let hosts = hosts(guests, filters, false)?;
    tell(&side_by_side(&hosts, None::<fn()>).0, start)
}

/// Builds, and runs all tests on the guests that every change has to pass, in parallel with `here`: the tests on this machine,
/// which mostly wait. The guests have a lower priority, and leave one CPU free if there are several. Returns the results of both.
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

/// Prints the results of the guests.
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
        bail!("tests on other kernels failed after {seconds} s, see above");
    }
    println!("all tests on other kernels passed in {seconds} s");
    Ok(())
}

/// Builds the programs, and prepares the guests that have tests to run.
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
    // In the requested order.
    hosts.sort_by_key(|host| guests.iter().position(|guest| *guest == host.guest));
    Ok(hosts)
}

/// Runs guests, at most as many at the same time as there are CPUs: each keeps one busy, and with less CPU time it would be
/// slower than its tests expect. While `beside` runs, one CPU is left to it.
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
    // The kernel opens the first for its init process, and Rust's library the second, before anything is mounted.
    files.device(Path::new("/dev/console"), 5, 1);
    files.device(Path::new("/dev/null"), 1, 3);
    let entries = guests.iter().flat_map(|guest| suite::on(*guest));
    for program in suite::PROGRAMS.iter().chain(entries.flat_map(|entry| entry.programs)) {
        files.program(program)?;
    }
    // The extensions of Debian's iptables, which it loads when a rule uses them.
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
