//! The half of identity that does the I/O: walks the cgroup tree, reads processes, network namespaces and the node's addresses, and
//! answers the questions that the [`Directory`] could not.

mod cgroups;
mod recognition;

use super::{
    Directory, Identity, Inventory, NodeDirectory, Question, Questions,
    entries::Entries,
    kubernetes::{self, LocalPod, REMEMBERED},
    namespaces::Namespaces,
    networks::KnownNetworks,
    owners::{CgroupOwners, Owner},
};
use crate::{
    clock::Millis,
    kernel::CgroupChange,
    node::{self, Cgroups},
    points::Rules,
};
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the node's own addresses are read: they are in its routing table, which can be long.
const HOST_ADDRESSES: Duration = Duration::from_secs(30);

/// Reads the system, and keeps what it has found.
pub struct Observer {
    cgroups: Cgroups,
    rules: Rules,
    kubernetes: Option<Arc<kubernetes::Shared>>,
    node: NodeDirectory,
    /// The cgroup tree was read in this tick.
    scanned: bool,
    first: bool,
    swept: Instant,
    host_read: Option<Instant>,
    /// The generation of the cluster's objects with which this node's pods were last checked.
    pods_generation: u64,
    unrecognized: Option<String>,
    missing: Vec<String>,
}

impl Observer {
    /// An observer that has read nothing yet. `kubernetes` is the cluster, when there is one; `networks` name addresses that nobody
    /// known holds; `limit` bounds the number of remembered cgroups.
    pub fn new(
        cgroups: Cgroups,
        rules: Rules,
        kubernetes: Option<Arc<kubernetes::Shared>>,
        networks: KnownNetworks,
        limit: usize,
    ) -> Self {
        Self {
            node: NodeDirectory {
                owners: CgroupOwners::new(cgroups.root(), limit),
                namespaces: Namespaces::new(node::host_netns()),
                entries: Entries::default(),
                networks,
                addresses: HashSet::new(),
                generation: 0,
            },
            cgroups,
            rules,
            kubernetes,
            scanned: false,
            first: true,
            swept: Instant::now(),
            host_read: None,
            pods_generation: 0,
            unrecognized: None,
            missing: Vec::new(),
        }
    }

    /// What is known now; lookups may leave questions for [`Observer::answer`].
    pub fn directory(&self) -> Directory<'_> {
        Directory::new(&self.node, self.kubernetes.as_deref(), false)
    }

    /// What is known after all questions of a tick have been answered.
    pub fn final_directory(&self) -> Directory<'_> {
        Directory::new(&self.node, self.kubernetes.as_deref(), true)
    }

    /// What is known of this node's cgroups.
    pub fn owners(&self) -> &CgroupOwners {
        &self.node.owners
    }

    /// The mounted cgroup hierarchy.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// The inventory's cgroups and namespaces that do not exist at the moment, each with its line in the file.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// A cgroup that seems to be a pod's, but has an unknown layout.
    pub fn unrecognized(&self) -> Option<&str> {
        self.unrecognized.as_deref()
    }

    /// Replaces the inventory; forgets what the old one said.
    pub fn set_inventory(&mut self, inventory: Inventory) {
        self.node.entries = Entries::from(inventory);
        self.node.owners.forget_all();
        self.node.generation += 1;
    }

    /// Handles the creation or removal of a cgroup.
    pub fn cgroup(&mut self, change: &CgroupChange<'_>) {
        match *change {
            CgroupChange::Made(id, Some(path)) => {
                self.node.owners.insert(id, path.to_owned());
                self.node.generation += 1;
            }
            // The path did not fit into the event: the cgroup is searched for when it is needed.
            CgroupChange::Made(_, None) => {}
            CgroupChange::Gone(id) => self.node.owners.remove(id, Instant::now()),
        }
    }

    /// Updates the state once a tick: cgroups and namespaces come and go, processes start other programs. `told` when the kernel
    /// has reported all cgroups that came and went.
    pub fn refresh(&mut self, now: Millis, told: bool) {
        let instant = Instant::now();
        self.missing.clear();
        if self.host_read.is_none_or(|read| read.elapsed() > HOST_ADDRESSES) {
            self.host_read = Some(instant);
            self.look_for_addresses();
        }
        self.sweep(instant, told);
        self.node.owners.expire(instant);
        self.scanned = false;
        if self.kubernetes.is_some() && (self.first || !told) {
            self.scan();
        }
        self.first = false;
        self.look_for_entries();
        self.look_for_pods();
        self.look_again(instant);
        self.node
            .namespaces
            .expire(now - REMEMBERED, instant, &self.node.owners);
        self.look_for_namespaces();
    }

    /// Applies updates of this node's pods, without inspecting cgroups and namespaces again.
    pub fn catch_up(&mut self) {
        let generation = |shared: &Arc<kubernetes::Shared>| shared.directory().generation();
        if self.kubernetes.as_ref().map(generation) != Some(self.pods_generation) {
            self.look_for_pods();
        }
    }

    /// Answers questions. What is still unknown afterwards is not asked again for a while.
    pub fn answer(&mut self, questions: Questions) {
        self.look_at(questions.iter().copied());
        // Only now, as the pods of these namespaces may have been found by the questions above.
        let now = Instant::now();
        for question in questions {
            self.node.namespaces.miss(question.netns, now);
        }
    }

    /// Inspects sockets ahead of any question about them.
    pub fn look_at(&mut self, sockets: impl IntoIterator<Item = Question>) {
        for socket in sockets {
            self.learn(socket.cgroup);
            if let Some(pod) = self.pod_at_home(socket.cgroup) {
                self.see(socket.netns, socket.cgroup, &pod);
            }
        }
    }

    fn look_for_addresses(&mut self) {
        let addresses = node::host_addresses();
        if addresses != self.node.addresses {
            self.node.addresses = addresses;
            self.node.generation += 1;
        }
    }

    /// Looks up the network namespaces of the inventory.
    fn look_for_namespaces(&mut self) {
        let entries = self.node.entries.all().iter();
        let named = entries.filter_map(|entry| match (&entry.netns, &entry.identity) {
            (Some(path), Identity::Workload(workload)) => Some((entry.line, path.clone(), workload.clone())),
            _ => None,
        });
        let named: Vec<(u64, PathBuf, _)> = named.collect();
        for (line, path, workload) in named {
            match node::netns_inode(&path) {
                Some(inode) => self.node.generation += u64::from(self.node.entries.set_namespace(inode, &workload)),
                None => self.missing.push(format!(
                    "line {line}: network namespace {} of {} does not exist",
                    path.display(),
                    Identity::Workload(workload)
                )),
            }
        }
    }

    /// The pod of a container whose sockets are in the pod's own network namespace.
    fn pod_at_home(&self, cgroup: u64) -> Option<Arc<LocalPod>> {
        match &self.node.owners.get(cgroup)?.owner {
            Owner::Container(named) if named.stays_at_home() => Some(named.pod.clone()),
            _ => None,
        }
    }

    /// Records that a socket or a process of the pod is in this namespace.
    fn see(&mut self, netns: u32, cgroup: u64, pod: &LocalPod) {
        let NodeDirectory { owners, namespaces, .. } = &mut self.node;
        if namespaces.is_new(netns, pod.uid, owners) {
            namespaces.see(netns, cgroup, pod);
            self.node.generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that knows nothing yet.
    fn observer() -> Observer {
        let rules = Rules::new(vec![]).expect("valid");
        let cgroups = Cgroups::find().expect("cgroup2");
        Observer::new(cgroups, rules, None, KnownNetworks::default(), 1_000)
    }

    #[test]
    fn what_is_missing_is_said_with_its_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let inventory = "workloads:\n  - { name: a, cgroup: /no/such, netns: /run/netns/no-such }\n";
        std::fs::write(file.path(), inventory).expect("written");
        let mut observer = observer();
        observer.set_inventory(Inventory::read(file.path()).expect("valid"));
        observer.refresh(0, false);
        let [cgroup, netns] = observer.missing() else {
            panic!("two: {:?}", observer.missing())
        };
        assert!(cgroup.starts_with("line 2: cgroup /no/such of workload default/a does not exist"));
        assert!(netns.starts_with("line 2: network namespace /run/netns/no-such of workload default/a"));
    }

    #[test]
    fn a_cgroup_that_was_asked_about_in_vain_is_not_asked_about_again() {
        let mut observer = observer();
        let (own, gone) = (1, u64::MAX);
        for cgroup in [own, gone] {
            let question = Question { cgroup, netns: 7 };
            observer.answer([question].into());
            assert!(observer.owners().is_root(cgroup) || observer.owners().is_missing(cgroup));
        }
    }
}
