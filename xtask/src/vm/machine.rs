//! A virtual machine: QEMU, and how long it may take.

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

/// Processors and memory (MiB) of a guest. It needs little more than its files, of which the kernel makes a copy.
pub(super) const PROCESSORS: u32 = 2;
const MEMORY: &str = "2048";

/// What every kernel is told.
///
/// Pressure is measured only where it is asked for. A kernel that is in trouble ends at once, and with it the machine. The
/// mitigations against leaks between processes cost much on an emulated processor, and change nothing that is tested.
const COMMAND_LINE: &str = "psi=1 oops=panic panic=-1 mitigations=off";

/// How long a guest may say nothing: longer than it takes to boot, and than a test may take.
const SILENCE: Duration = Duration::from_secs(200);

/// How long a guest may take in all. One that gives way takes longer.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// How long a machine may take to be off after its last word.
const OFF: Duration = Duration::from_secs(20);

/// How many lines of the console tell what happened.
const TOLD: usize = 40;

/// A machine that runs. It is switched off when the guard goes away.
pub(crate) struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    console: PathBuf,
    start: Instant,
}

impl Machine {
    /// Boots a guest's kernel with the files of an archive. `console` is a file for what the kernel says.
    ///
    /// A machine that gives way runs when nothing else wants the processor.
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
        // One from an earlier run would be taken for this one's.
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

    /// The next line of the guest, or none when the machine is off.
    ///
    /// # Errors
    /// The guest takes too long.
    pub(crate) fn line(&self) -> Result<Option<String>> {
        let left = LIMIT.saturating_sub(self.start.elapsed());
        match self.lines.recv_timeout(left.min(SILENCE)) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) if left < SILENCE => bail!("it takes longer than {LIMIT:?} in all"),
            Err(RecvTimeoutError::Timeout) => bail!("it has said nothing for {SILENCE:?}"),
        }
    }

    /// Waits until the machine is off.
    ///
    /// # Errors
    /// That takes too long, or QEMU fails.
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

    /// The end of what the kernel said on the console.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines[lines.len().saturating_sub(TOLD)..].join("\n")
    }
}

/// The machine and its processors: emulated everywhere, as the tests need no more, and are the same everywhere.
fn hardware(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        // By one thread: with two, a processor may still meet the breakpoint that the kernel had set while it changed its own
        // code, and has taken back. Walks through five levels of page tables take a good tenth of an emulated processor's time.
        Architecture::X86_64 => &["-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-machine", "q35"],
        // By one thread, too: with two, one field of a socket was read before what the other processor had written just before,
        // and the kernel itself stumbled over a list. Pointers are signed by a quick function rather than by the one that real
        // processors have.
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

/// The second serial line: the one that the guest reports over (see `narrows_testbed::guest::LINE`).
fn line(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        Architecture::X86_64 => &["-serial", "stdio"],
        // That machine has a single one.
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

/// What a guest's kernel is told.
fn command_line(guest: Guest) -> String {
    let hardware = match guest.image().architecture {
        // A timer that a busy emulator lets run late is not a broken one.
        Architecture::X86_64 => "console=ttyS0 no_timer_check",
        Architecture::Aarch64 => "console=ttyAMA0",
    };
    match guest.lockdown() {
        "none" => format!("{hardware} {COMMAND_LINE}"),
        lockdown => format!("{hardware} {COMMAND_LINE} lockdown={lockdown}"),
    }
}
