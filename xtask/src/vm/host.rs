//! Runs one guest, from packing its archive to its last report.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use narrows_testbed::guest::{Checks, ORDERS, Orders, Test};

use crate::{
    guests::{
        guest::Guest,
        kernel::{self, Kernel},
    },
    setup::tools,
    workspace,
};

use super::{
    files::Files,
    machine::{Machine, PROCESSORS},
    modules,
    report::Verdicts,
};

/// How long a test may take in a guest, which has the lowest priority: several times what the longest needs on an idle machine.
const TEST_LIMIT: Duration = Duration::from_secs(300);

/// A guest, and the tests that it runs.
pub(crate) struct Host {
    pub(crate) guest: Guest,
    pub(crate) target_dir: PathBuf,
    pub(crate) tests: Vec<Test>,
    /// The files that do not depend on the kernel.
    pub(crate) files: Files,
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it runs with the lowest priority.
    pub(crate) gives_way: bool,
}

impl Host {
    /// Runs the tests, and returns a sentence about them.
    ///
    /// # Errors
    /// A test failed or did not run, or the guest did not finish.
    pub(crate) fn run(&self) -> Result<String> {
        let guest = self.guest;
        let kernel = kernel::find(&self.target_dir, guest.image())?;
        let archive = self.pack(&kernel)?;
        let console = archive.with_file_name(format!("console-{guest}.log"));
        let qemu = workspace::tools_dir(&self.target_dir).join(tools::qemu(guest.image().architecture));
        let mut machine = Machine::boot(&qemu, guest, &kernel, &archive, console.clone(), self.gives_way)?;
        let mut verdicts = Verdicts::on(self.tests.iter().map(|test| test.name.clone()));
        let outcome = listen(guest, &mut machine, &mut verdicts);
        let name = name(guest, verdicts.release().unwrap_or(&kernel.release));
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

    /// Writes the archive of the guest.
    fn pack(&self, kernel: &Kernel) -> Result<PathBuf> {
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
            checks: Checks {
                processors: PROCESSORS,
                lockdown: self.guest.lockdown().to_owned(),
            },
            tests: self.tests.clone(),
        };
        files.text(Path::new(ORDERS), serde_json::to_vec(&orders)?);
        let archive = self.target_dir.join("vm").join(format!("guest-{}.cpio", self.guest));
        files.pack(&archive)?;
        Ok(archive)
    }
}

/// Reads the reports of a guest until it ends.
fn listen(guest: Guest, machine: &mut Machine, verdicts: &mut Verdicts) -> Result<()> {
    while let Some(line) = machine.line()? {
        if let Some(told) = verdicts.take(&line)? {
            println!("Linux {}: {told}", name(guest, verdicts.release().unwrap_or("?")));
        }
        if verdicts.is_over() {
            return machine.off();
        }
    }
    Ok(())
}

/// The release without the architecture's suffix, and the special setting of the guest.
fn name(guest: Guest, release: &str) -> String {
    let architecture = guest.image().architecture;
    let flavour = format!("-cloud-{}", architecture.debian());
    let release = release.strip_suffix(&flavour).unwrap_or(release);
    match guest {
        Guest::V6_1 | Guest::V6_12 => release.to_owned(),
        Guest::Lockdown => format!("{release} (lockdown)"),
        Guest::Arm64 => format!("{release} ({})", architecture.debian()),
    }
}
