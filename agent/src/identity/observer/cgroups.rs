//! Follows the cgroup tree: which cgroups exist, which have gone, and which have changed.

use super::Observer;
use crate::{
    identity::{
        Identity,
        kubernetes::LocalPod,
        owners::{LOOK_AGAIN, Named, Owner},
    },
    node::container_of,
};
use std::{sync::Arc, time::Instant};

impl Observer {
    /// Checks which cgroups have gone, unless the kernel has reported them; occasionally also then, as an event may have been
    /// dropped for lack of room.
    pub(super) fn sweep(&mut self, now: Instant, told: bool) {
        if told && now.duration_since(self.swept) <= LOOK_AGAIN {
            return;
        }
        self.swept = now;
        let owners = &mut self.node.owners;
        let here = owners.iter().filter(|(_, cgroup)| cgroup.gone.is_none());
        let gone = here.filter(|(id, cgroup)| self.cgroups.id(&cgroup.path) != Some(*id));
        let gone: Vec<u64> = gone.map(|(id, _)| id).collect();
        for id in gone {
            owners.remove(id, now);
        }
    }

    /// Reads the whole tree, at most once a tick.
    pub(super) fn scan(&mut self) {
        self.scanned = true;
        for (id, path) in self.cgroups.paths() {
            if self.node.owners.get(id).is_none() {
                self.node.owners.insert(id, path);
                self.node.generation += 1;
            }
        }
    }

    /// Looks up the cgroups of the inventory.
    pub(super) fn look_for_entries(&mut self) {
        let mut is_new = false;
        let entries = self.node.entries.all().iter();
        for (entry, path) in entries.filter_map(|entry| Some((entry, entry.cgroup.as_ref()?))) {
            match self.cgroups.id(path) {
                Some(id) => is_new |= self.node.owners.insert_entry(id, path, &entry.identity),
                None => self.missing.push(format!(
                    "line {}: cgroup {path} of {} does not exist (below {})",
                    entry.line,
                    entry.identity,
                    self.cgroups.mount().display()
                )),
            }
        }
        if is_new {
            // Cgroups below it belong to it, too.
            self.node.owners.forget_nobody();
            self.node.generation += 1;
        }
    }

    /// Containers of pods are looked up ahead of their first flow: a point without traffic must be shown, and while a container
    /// lives its processes reveal its network namespace.
    pub(super) fn look_for_pods(&mut self) {
        let Some(shared) = &self.kubernetes else { return };
        let directory = shared.directory();
        let is_changed = directory.generation() != self.pods_generation;
        self.pods_generation = directory.generation();
        // A lookup inspects processes, so only containers whose pods have been updated are looked up.
        let is_updated = |path: &str, before: Option<&Arc<LocalPod>>| {
            let now = container_of(path).and_then(|container| directory.local(container.pod));
            is_changed && now.map(Arc::as_ptr) != before.map(Arc::as_ptr)
        };
        let due = self.node.owners.iter().filter(|(_, cgroup)| match &cgroup.owner {
            // The pod's own cgroup has no sockets.
            Owner::NotAsked => container_of(&cgroup.path).is_some_and(|container| container.id.is_some()),
            Owner::Expected(pod) => is_updated(&cgroup.path, pod.as_ref()),
            Owner::Container(named) => is_updated(&cgroup.path, Some(&named.pod)),
            Owner::Known(_) | Owner::Node(_) | Owner::Nobody(_) => false,
        });
        let due: Vec<u64> = due.map(|(id, _)| id).collect();
        drop(directory);
        for id in due {
            self.ask(id);
        }
    }

    /// Inspects again the cgroups whose processes may have started another program.
    pub(super) fn look_again(&mut self, now: Instant) {
        let here = self.node.owners.iter().filter(|(_, cgroup)| cgroup.gone.is_none());
        let due: Vec<u64> = (here.filter(|(_, cgroup)| cgroup.owner.is_due(now)))
            .map(|(id, _)| id)
            .collect();
        for id in due {
            self.ask(id);
        }
    }

    /// Finds the owner of a cgroup that has not been looked up yet.
    pub(super) fn learn(&mut self, id: u64) {
        if id == 0 || self.node.owners.is_root(id) {
            return;
        }
        match self.node.owners.get(id).map(|cgroup| &cgroup.owner) {
            Some(Owner::NotAsked) => self.ask(id),
            Some(_) => {}
            None if self.scanned || self.node.owners.is_missing(id) => {}
            None => {
                self.scan();
                if self.node.owners.get(id).is_some() {
                    self.ask(id);
                } else {
                    self.node.owners.miss(id, Instant::now());
                }
            }
        }
    }

    /// Finds the owner of a cgroup.
    pub(super) fn ask(&mut self, id: u64) {
        let Some(cgroup) = self.node.owners.get(id) else { return };
        let (path, is_gone) = (cgroup.path.clone(), cgroup.gone.is_some());
        let before = match &cgroup.owner {
            Owner::Container(named) => Some(named.clone()),
            _ => None,
        };
        let is_asked_first = matches!(cgroup.owner, Owner::NotAsked);
        let owner = self.recognise(&path, is_gone, before.as_ref());
        let before = before.map(|before| before.identity);
        match owner.identity() {
            Some(identity) if before.as_ref() != Some(identity) => self.found(id, &path, is_gone, &owner),
            _ => self.node.generation += u64::from(is_asked_first),
        }
        self.node.owners.set(id, owner);
    }

    /// The owner of a cgroup has become known.
    fn found(&mut self, id: u64, path: &str, is_gone: bool, owner: &Owner) {
        if let Some(identity @ Identity::Point(_)) = owner.identity() {
            tracing::info!(cgroup = path, "recognised {identity}");
        }
        self.node.generation += 1;
        if let Owner::Container(named @ Named { pod, .. }) = owner
            && named.stays_at_home()
            && !is_gone
            && let Some(netns) = self.cgroups.netns(path)
        {
            self.see(netns, id, pod);
        }
    }
}
