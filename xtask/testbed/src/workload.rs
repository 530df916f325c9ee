//! A workload: a network namespace and a cgroup with the addresses of one pod.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cgroup::Cgroup;
use crate::netns::{Fabric, Netns};
use crate::process::{self, Child, Placement};

/// The namespace, cgroup and addresses of one pod.
#[derive(Debug)]
pub struct Workload {
    /// The cgroup of its processes. The first field, so that they exit before their namespace is removed.
    pub cgroup: Cgroup,
    /// Its network namespace.
    pub netns: Netns,
    /// Its addresses on the fabric, without the prefix length.
    pub addresses: Vec<IpAddr>,
}

impl Workload {
    /// Creates the namespace `name` and the cgroup `<top>/<name>`, and attaches them with `addresses` (`10.90.0.11/24`).
    pub fn new(fabric: &Fabric, top: &str, name: &str, addresses: &[&str]) -> Result<Self> {
        let cgroup = Cgroup::new(&format!("{top}/{name}"))?;
        let netns = Netns::new(name)?;
        fabric.attach(&netns, addresses)?;
        let addresses = addresses
            .iter()
            .map(|address| {
                let bare = address.split('/').next().unwrap_or(address);
                bare.parse()
                    .with_context(|| format!("address {address} of workload {name}"))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            cgroup,
            netns,
            addresses,
        })
    }

    /// Runs `work` on a thread inside the namespace while the process is in the cgroup. One at a time: do not nest.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.cgroup.enter(|| self.netns.run(work))
    }

    /// Starts a process inside both.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        process::spawn(command, Some(&self.netns), Some(&self.cgroup))
    }
}

impl<'a> From<&'a Workload> for Placement<'a> {
    fn from(workload: &'a Workload) -> Self {
        Self::new(Some(&workload.netns), Some(&workload.cgroup))
    }
}
