//! A process as a container runtime starts it: only with the capabilities and mounts that it is given.
//!
//! It is root with a reduced bounding set, cannot gain privileges, and has its own root file system. Mounts, cgroups,
//! host name, IPC and network are in namespaces of their own; the PID namespace is the node's, as with `hostPID`.

mod mount;
mod privileges;
mod seccomp;
mod step;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::cgroup::Cgroup;
use crate::isolation::NETNS_DIRECTORY;
use crate::netns::Netns;
use crate::process::{self, Child, Placement};
use step::{Plan, Step};

pub use mount::Mount;
pub use privileges::mask;
pub use seccomp::Seccomp;

/// The directory in which the container's root is assembled: one of [`isolate`](crate::isolate) that is not needed here.
const ROOT: &str = NETNS_DIRECTORY;

/// The directories of shared libraries.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Devices that every container has.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// Paths of `/proc` and `/sys` that runtimes hide, and those that they mount read-only (the defaults of containerd, CRI-O and
/// Docker).
const HIDDEN: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const NOT_WRITTEN: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The settings of a container.
#[derive(Clone, Debug)]
pub struct Container {
    /// The mounts that form its image.
    pub image: Vec<Mount>,
    /// Further mounts, in this order.
    pub mounts: Vec<Mount>,
    /// The capabilities that it keeps, as Kubernetes writes them (`SYS_PTRACE`).
    pub capabilities: Vec<String>,
    /// Whether its root file system is read-only.
    pub read_only_root: bool,
    /// Whether no program that it starts may have more privileges than itself.
    pub no_new_privileges: bool,
    /// Which system calls it may make; all without one.
    pub seccomp: Option<Seccomp>,
    /// The host name inside the container.
    pub host_name: String,
}

/// An image that holds one program, at `target`, and the node's shared libraries.
pub fn image(program: &Path, target: &Path) -> Result<Vec<Mount>> {
    let mut image = Vec::new();
    for directory in LIBRARIES.map(Path::new).into_iter().filter(|path| path.is_dir()) {
        image.push(Mount {
            source: directory.canonicalize()?,
            target: directory.to_owned(),
            read_only: true,
        });
    }
    let source = program.canonicalize();
    image.push(Mount {
        source: source.with_context(|| format!("no program {}", program.display()))?,
        target: target.to_owned(),
        read_only: true,
    });
    Ok(image)
}

impl Container {
    /// Starts `command` inside, in this network namespace and in this cgroup, which is the root of its cgroup namespace. Programs
    /// are searched in the image. Call [`isolate`](crate::isolate) first.
    pub fn spawn(&self, command: &mut Command, netns: &Netns, cgroup: &Cgroup) -> Result<Child> {
        let steps = self.steps()?;
        let told: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
        // Only the errno of an error before exec is returned, so the failed step is reported through a socket.
        let (mut failed, report) = UnixStream::pair()?;
        failed.set_nonblocking(true)?;
        Placement::new(Some(netns), Some(cgroup)).prepare(command)?;
        let enter = move || {
            for (n, step) in steps.iter().enumerate() {
                if let Err(error) = step.take() {
                    let _told_by_its_number_alone = (&report).write(&[n as u8]);
                    return Err(error);
                }
            }
            Ok(())
        };
        // SAFETY: between fork and exec, the steps only make system calls with what was prepared before.
        unsafe { command.pre_exec(enter) };
        process::start(command).map_err(|error| {
            let mut n = [0];
            match failed.read(&mut n) {
                Ok(1) => error.context(told[usize::from(n[0])].clone()),
                _ => error,
            }
        })
    }

    fn steps(&self) -> Result<Vec<Step>> {
        let mut plan = Plan::new(ROOT);
        let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWIPC;
        plan.then(Step::Unshare(own | CloneFlags::CLONE_NEWUTS));
        plan.keep_mounts_to_itself()?;
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        plan.file_system("tmpfs", "/", MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
        plan.bind_all(&self.image)?;
        plan.file_system("proc", "/proc", safe)?;
        plan.file_system("sysfs", "/sys", safe | MsFlags::MS_RDONLY)?;
        plan.file_system("tmpfs", "/dev", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC)?;
        for device in DEVICES {
            plan.bind(Path::new(device), Path::new(device), false)?;
        }
        // It begins at the container's own cgroup. Runtimes leave it out when another mount has this target; with both, the path
        // is twice in the container's list of mounts, which is the harder case for the agent.
        plan.file_system("cgroup2", "/sys/fs/cgroup", safe | MsFlags::MS_RDONLY)?;
        plan.bind_all(&self.mounts)?;
        for path in HIDDEN.map(Path::new).into_iter().filter(|path| path.exists()) {
            if path.is_dir() {
                plan.cover(path)?;
            } else {
                plan.bind(Path::new("/dev/null"), path, true)?;
            }
        }
        for path in NOT_WRITTEN.map(Path::new).into_iter().filter(|path| path.exists()) {
            plan.bind(path, path, true)?;
        }
        plan.make_it_the_root(self.read_only_root)?;
        plan.then(Step::HostName(self.host_name.clone()));
        let capabilities = mask(&self.capabilities)?;
        plan.then(Step::Keep(capabilities, privileges::last()?));
        if self.no_new_privileges {
            plan.then(Step::NoNewPrivileges);
        }
        // Last, as with runtimes: what is above may be forbidden then.
        plan.steps.extend(self.seccomp.clone().map(Step::Seccomp));
        Ok(plan.steps)
    }
}
