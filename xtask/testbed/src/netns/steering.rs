//! Steers packets to another CPU than the one that sent them, as a real network card's interrupts do.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use super::Netns;
use crate::isolation::own_mounts;

impl Netns {
    /// Lets these CPUs (a hexadecimal mask) process packets that arrive on `device`, instead of the CPU that sent them:
    /// receive packet steering (`Documentation/networking/scaling.rst` of the kernel).
    pub fn steer(&self, device: &str, processors: &str) -> Result<()> {
        let queue = Path::new("/sys/class/net").join(device).join("queues/rx-0/rps_cpus");
        self.run(|| {
            // /sys shows the devices of the network namespace in which it was mounted, so this thread mounts its own.
            own_mounts().context("make a mount namespace")?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).context("mount sysfs")?;
            fs::write(&queue, processors).with_context(|| format!("write {processors} to {}", queue.display()))
        })
        .with_context(|| format!("steer packets of {device} in namespace {}", self.name()))
    }
}
