//! A virtual machine: QEMU, and its time limits.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use narrows_testbed::process::{self, Child};

use crate::{
    guests::{guest::Guest, kernel::Kernel},
    system::architecture::Architecture,
};

/// CPUs and memory (MiB) of a guest. It needs little more than its files, of which the kernel makes a copy.
pub(super) const PROCESSORS: u32 = 2;
const MEMORY: &str = "2048";

/// The command line of every kernel.
///
/// `psi=1` enables pressure, which is off by default. After an oops the kernel panics, and the machine ends. The
/// mitigations against CPU vulnerabilities cost much on an emulated CPU, and do not affect what is tested.
const COMMAND_LINE: &str = "psi=1 oops=panic panic=-1 mitigations=off";

/// How long a guest may send no report: longer than booting, and than the limit of a test.
const SILENCE: Duration = Duration::from_secs(330);

/// The time limit of a guest. One with the lowest priority takes longer.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// How long a machine may take to switch off after its last report.
const OFF: Duration = Duration::from_secs(20);

/// The number of lines of the console that are shown after an error.
const TOLD: usize = 40;

/// A running machine. It is switched off when the guard is dropped.
pub(crate) struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    console: PathBuf,
    start: Instant,
}

impl Machine {
    /// Boots a guest's kernel with the files of an archive. `console` is a file for the kernel's console.
    ///
    /// A machine that gives way runs with the lowest priority.
    ///
    /// # Errors
    /// QEMU does not start.
    pub(crate) fn boot(
        qemu: &Path,
        guest: Guest,
        kernel: &Kernel,
        files: &Path,
        console: PathBuf,
        gives_way: bool,
    ) -> Result<Self> {
        let mut command = Command::new(qemu);
        command
            .args(hardware(guest.image().architecture))
            .args(["-smp", &PROCESSORS.to_string(), "-m", MEMORY])
            .args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(files)
            .args(["-append", &command_line(guest)])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(line(guest.image().architecture))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // Truncates the file, which may be from an earlier run.
        File::create(&console).with_context(|| format!("cannot write {}", console.display()))?;
        let mut qemu = match gives_way {
            true => process::start_behind(&mut command)?,
            false => process::start_beside(&mut command)?,
        };
        let output = qemu.stdout.take().context("QEMU has no stdout")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            qemu,
            lines,
            console,
            start: Instant::now(),
        })
    }

    /// The next line of the guest; `None` when the machine is off.
    ///
    /// # Errors
    /// The guest takes too long.
    pub(crate) fn line(&self) -> Result<Option<String>> {
        let left = LIMIT.saturating_sub(self.start.elapsed());
        match self.lines.recv_timeout(left.min(SILENCE)) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) if left < SILENCE => bail!("it exceeded the time limit of {LIMIT:?}"),
            Err(RecvTimeoutError::Timeout) => bail!("it has sent no report for {SILENCE:?}"),
        }
    }

    /// Waits until the machine is off.
    ///
    /// # Errors
    /// This takes too long, or QEMU fails.
    pub(crate) fn off(&mut self) -> Result<()> {
        let status = self.qemu.ended(OFF)?;
        if !status.success() {
            bail!("QEMU failed ({status})");
        }
        Ok(())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The end of the kernel's console output.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines[lines.len().saturating_sub(TOLD)..].join("\n")
    }
}

/// The machine and its CPUs: always emulated, which is sufficient for the tests, and the same on all hosts.
fn hardware(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        // With a single thread: with two, a CPU may still hit a breakpoint that the kernel set while it patched its own
        // code, and has removed. Walks through five levels of page tables take more than a tenth of an emulated CPU's time.
        Architecture::X86_64 => &["-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-machine", "q35"],
        // Also with a single thread: with two, a field of a socket was read before an earlier write of the other CPU was visible,
        // and the kernel itself failed on a corrupt list. Pointers are signed by a fast function rather than by that of real
        // CPUs.
        Architecture::Aarch64 => &[
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max,pauth-impdef=on",
            "-machine",
            "virt",
        ],
    }
}

/// The second serial line, over which the guest sends reports (see `narrows_testbed::guest::LINE`).
fn line(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        Architecture::X86_64 => &["-serial", "stdio"],
        // That machine has only one serial port.
        Architecture::Aarch64 => &[
            "-chardev",
            "stdio,id=line",
            "-device",
            "virtio-serial-pci",
            "-device",
            "virtconsole,chardev=line",
        ],
    }
}

/// The command line of a guest's kernel.
fn command_line(guest: Guest) -> String {
    let hardware = match guest.image().architecture {
        // A busy emulator may delay the timer, which the kernel would otherwise report as broken.
        Architecture::X86_64 => "console=ttyS0 no_timer_check",
        Architecture::Aarch64 => "console=ttyAMA0",
    };
    match guest.lockdown() {
        "none" => format!("{hardware} {COMMAND_LINE}"),
        lockdown => format!("{hardware} {COMMAND_LINE} lockdown={lockdown}"),
    }
}
