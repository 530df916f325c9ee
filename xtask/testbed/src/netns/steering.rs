//! Packets that are handled on another processor than the one that sent them, as a real network card's interrupts do.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use super::Netns;
use crate::isolation::own_mounts;

impl Netns {
    /// Has packets that come in on `device` handled by these processors (a hexadecimal mask), instead of the one that sent them:
    /// receive packet steering (`Documentation/networking/scaling.rst` of the kernel).
    pub fn steer(&self, device: &str, processors: &str) -> Result<()> {
        let queue = Path::new("/sys/class/net").join(device).join("queues/rx-0/rps_cpus");
        self.run(|| {
            // Devices in /sys are those of the network namespace that it was mounted in, so this thread mounts its own.
            own_mounts().context("make a mount namespace")?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).context("mount sysfs")?;
            fs::write(&queue, processors).with_context(|| format!("write {processors} to {}", queue.display()))
        })
        .with_context(|| format!("steer packets of {device} in namespace {}", self.name()))
    }
}
