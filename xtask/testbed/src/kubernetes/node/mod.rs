//! A node without a kubelet: pods as cgroups and network namespaces, with the same layout as on a real one.

mod layout;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::netns::{Fabric, Netns};
use crate::process::{self, Child};

pub use layout::{Layout, Qos};

/// The network of a pod.
#[derive(Clone, Copy, Debug)]
pub enum Network<'a> {
    /// Its own, attached to the fabric with these addresses (`10.90.0.11/24`).
    Own(&'a Fabric, &'a [&'a str]),
    /// The node's network, which is that of this process.
    Host,
}

/// A pod as the kernel sees it; removed when the guard is dropped.
#[derive(Debug)]
pub struct SimPod {
    /// The first field, so that it exits before its cgroup and its namespace are removed.
    pause: Option<Child>,
    containers: Vec<(String, Cgroup)>,
    /// Cgroups of the pod without a container.
    others: Vec<Cgroup>,
    netns: Option<Netns>,
}

impl SimPod {
    /// Lays out the pod `uid` with `containers` (name and id, without the prefix of the runtime).
    ///
    /// The tree of the node is below the cgroup `root`, a name from [`unique`](crate::cgroup::unique), because that of
    /// the machine belongs to others. Nodes that are containers look the same. The namespace is called `pod-<uid>`.
    pub fn new(
        root: &str,
        layout: Layout,
        qos: Qos,
        uid: &str,
        containers: &[(&str, &str)],
        network: Network<'_>,
    ) -> Result<Self> {
        let make = |path: String| Cgroup::new(&format!("{root}{path}"));
        let mut pod = Self {
            pause: None,
            containers: Vec::new(),
            others: Vec::new(),
            netns: None,
        };
        for (name, id) in containers {
            let cgroup = make(layout.container_path(qos, uid, id))
                .with_context(|| format!("container {name} of pod {uid} as {layout:?}"))?;
            pod.containers.push(((*name).to_owned(), cgroup));
            if let Some(path) = layout.conmon_path(qos, uid, id) {
                pod.others.push(make(path)?);
            }
        }
        if layout == Layout::ContainerdMixed {
            // The kubelet creates it, and it has no processes of its own.
            pod.others.push(make(layout.pod_path(qos, uid))?);
        }
        if let Network::Own(fabric, addresses) = network {
            let netns = Netns::new(&format!("pod-{uid}"))?;
            fabric.attach(&netns, addresses)?;
            pod.netns = Some(netns);
        }
        Ok(pod)
    }

    /// The cgroup of a container.
    ///
    /// # Panics
    ///
    /// When the pod has no such container.
    pub fn cgroup(&self, container: &str) -> &Cgroup {
        let found = self.containers.iter().find(|(name, _)| name == container);
        found.map_or_else(|| panic!("the pod has no container {container}"), |(_, cgroup)| cgroup)
    }

    /// The network namespace; `None` for a pod on the node's network.
    pub fn netns(&self) -> Option<&Netns> {
        self.netns.as_ref()
    }

    /// Runs `work` on a thread inside the pod's namespace while the process is in the container's cgroup. One at a
    /// time: do not nest.
    pub fn run<R: Send>(&self, container: &str, work: impl FnOnce() -> R + Send) -> R {
        self.cgroup(container).enter(|| match &self.netns {
            Some(netns) => netns.run(work),
            None => work(),
        })
    }

    /// Starts a process inside both.
    pub fn spawn(&self, container: &str, command: &mut Command) -> Result<Child> {
        process::spawn(command, self.netns.as_ref(), Some(self.cgroup(container)))
    }

    /// Starts a process that sleeps in the first container, so that `/proc` shows the pod and its namespace, and
    /// returns its id. It ends with the pod, or with the thread that calls this.
    pub fn start_pause(&mut self) -> Result<Pid> {
        let (first, _) = self.containers.first().context("a pod without a container")?;
        let child = self.spawn(first, Command::new("sleep").arg("infinity"))?;
        let pid = child.pid();
        self.pause = Some(child);
        Ok(pid)
    }

    /// Kills all processes of the pod and removes it; the error names what could not be removed.
    pub fn remove(self) -> Result<()> {
        let all = self.containers.iter().map(|(_, cgroup)| cgroup).chain(&self.others);
        let mut paths: Vec<PathBuf> = all.map(|cgroup| cgroup.directory().to_owned()).collect();
        paths.extend(self.netns.iter().map(|netns| netns.path().to_owned()));
        drop(self);
        for path in paths {
            ensure!(!path.exists(), "{} still exists", path.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
