//! The first process of a guest: prepares the machine for the tests, and switches it off when they are done.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::unistd::{Pid, sethostname};

use super::{LINE, ORDERS, Orders, Report, check, run};
use crate::command;

/// The mount point of the guest's single cgroup hierarchy, as on a modern distribution.
const CGROUPS: &str = "/sys/fs/cgroup";

/// File systems by type, in the order in which they have to be mounted.
const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("securityfs", "/sys/kernel/security"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", CGROUPS),
];

/// `MODULE_INIT_COMPRESSED_FILE`, which nix does not define: the kernel decompresses the module itself.
const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

/// Carries out the host's orders, reports, and switches the machine off.
///
/// # Errors
/// When this is not a guest, or has no serial line to its host. A guest's kernel panics when its first process exits, which the
/// host detects.
pub fn main() -> Result<()> {
    ensure!(
        Pid::this() == Pid::from_raw(1),
        "this is the first process of a guest of `cargo xtask vm-test`, and not a program for a running system"
    );
    mount_all()?;
    let mut line = Line::open()?;
    let last = match obey(&mut line) {
        Ok(()) => Report::Done,
        Err(error) => Report::Broken(format!("{error:#}")),
    };
    line.report(&last)?;
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => Err(error).context("switch off"),
    }
}

fn obey(line: &mut Line) -> Result<()> {
    let text = fs::read(ORDERS).with_context(|| format!("read {ORDERS}"))?;
    let orders: Orders = serde_json::from_slice(&text).with_context(|| format!("understand {ORDERS}"))?;
    for module in &orders.modules {
        load(module)?;
    }
    check::check(&orders.checks)?;
    enable_controllers()?;
    sethostname("guest")?;
    let loopback = ["link", "set", "lo", "up"];
    command::run(
        Command::new("ip")
            .args(loopback)
            .envs(orders.environment.iter().cloned()),
        None,
    )?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    line.report(&Report::Ready { release })?;
    for test in &orders.tests {
        line.report(&run::run(test, &orders)?)?;
    }
    Ok(())
}

fn mount_all() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("make {place}"))?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mount {kind} on {place}"))?;
    }
    Ok(())
}

/// Enables all controllers of the kernel for the cgroups below the root.
fn enable_controllers() -> Result<()> {
    let controllers = fs::read_to_string(Path::new(CGROUPS).join("cgroup.controllers"))?;
    let wanted: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    fs::write(Path::new(CGROUPS).join("cgroup.subtree_control"), wanted.join(" "))
        .with_context(|| format!("enable the cgroup controllers {}", controllers.trim()))
}

fn load(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| format!("open {}", module.display()))?;
    let flags = match module.extension() {
        Some(extension) if extension == "ko" => ModuleInitFlags::empty(),
        _ => COMPRESSED,
    };
    match finit_module(&file, <&CStr>::default(), flags) {
        // Another module may have loaded it already.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("load {}", module.display())),
    }
}

/// The serial line to the host.
struct Line(File);

impl Line {
    fn open() -> Result<Self> {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlag::O_NOCTTY.bits());
        let line = options.write(true).open(LINE).with_context(|| format!("open {LINE}"))?;
        // Raw mode: no byte is translated.
        let mut settings = tcgetattr(&line)?;
        cfmakeraw(&mut settings);
        tcsetattr(&line, SetArg::TCSANOW, &settings)?;
        Ok(Self(line))
    }

    /// Writes a report, and returns when it has been transmitted.
    fn report(&mut self, report: &Report) -> Result<()> {
        let mut text = serde_json::to_vec(report)?;
        text.push(b'\n');
        self.0.write_all(&text).with_context(|| format!("write to {LINE}"))?;
        tcdrain(&self.0)?;
        Ok(())
    }
}
