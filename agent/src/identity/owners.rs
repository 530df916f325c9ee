//! The owners of cgroups: an entry of the inventory, a container of a pod, a proxy on the node itself. Only a store, without I/O.

use super::{Endpoint, Identity, kubernetes::LocalPod};
use crate::{
    points::{Kind, Point},
    table::Table,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// After this time a cgroup is inspected again: its process may have started another program.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long a removed cgroup is remembered: its last connections may be read only later.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Who owns a cgroup.
#[derive(Clone, Debug)]
pub enum Owner {
    /// Not looked up yet.
    NotAsked,
    /// An entry of the inventory, or a proxy that was recognized by its processes.
    Known(Identity),
    /// A container of a pod.
    Container(Named),
    /// A container of a pod whose object has not arrived yet, or does not name the container yet.
    Expected(Option<Arc<LocalPod>>),
    /// The node's own, in a cluster; with the time of the lookup.
    Node(Instant),
    /// No known owner; with the time of the lookup.
    Nobody(Instant),
}

impl Owner {
    /// The point that owns the cgroup.
    pub fn point(&self) -> Option<&Arc<Point>> {
        match self.identity() {
            Some(Identity::Point(point)) => Some(point),
            _ => None,
        }
    }

    /// The workload or point that owns the cgroup.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Known(identity) | Self::Container(Named { identity, .. }) => Some(identity),
            Self::NotAsked | Self::Expected(_) | Self::Node(_) | Self::Nobody(_) => None,
        }
    }

    /// Whether its processes are to be inspected again. For an expected container, an update of its pod triggers that.
    pub fn is_due(&self, now: Instant) -> bool {
        let is_past = |looked: &Instant| now.duration_since(*looked) > LOOK_AGAIN;
        match self {
            Self::Nobody(looked) | Self::Node(looked) => is_past(looked),
            Self::Container(named) => !named.settled && is_past(&named.since),
            Self::NotAsked | Self::Known(_) | Self::Expected(_) => false,
        }
    }
}

/// A container whose name is known.
#[derive(Clone, Debug)]
pub struct Named {
    /// The pod that the container is in.
    pub pod: Arc<LocalPod>,
    /// The workload, or the point that the container is.
    pub identity: Identity,
    /// When its processes were first inspected.
    pub since: Instant,
    /// Its processes were inspected a second time: at first they may still be the container runtime's.
    pub settled: bool,
}

impl Named {
    /// Whether its sockets and processes are in the network namespace of its own pod, and nowhere else.
    pub fn stays_at_home(&self) -> bool {
        let enters_others = matches!(&self.identity, Identity::Point(point) if point.kind == Kind::Ztunnel);
        !self.pod.host_network && !enters_others
    }

    /// Whether its sockets act for its own pod: those of applications, and of sidecars.
    pub fn acts_for_itself(&self) -> bool {
        match &self.identity {
            Identity::Workload(_) => true,
            Identity::Point(point) => point.kind == Kind::Sidecar,
        }
    }
}

/// A cgroup of this node.
#[derive(Debug)]
pub struct Cgroup {
    /// Its path below the root of the hierarchy.
    pub path: String,
    /// What is known of its owner.
    pub owner: Owner,
    /// When its removal was noticed.
    pub gone: Option<Instant>,
}

/// All known cgroups, by id.
#[derive(Debug)]
pub struct CgroupOwners {
    known: HashMap<u64, Cgroup>,
    /// Cgroups that were not found in any tree, by the time of the lookup: removed before it.
    missing: HashMap<u64, Instant>,
    root: u64,
    limit: usize,
    rejected: u64,
}

impl CgroupOwners {
    /// Knows only the id of the root; at most `limit` cgroups are remembered.
    pub fn new(root: u64, limit: usize) -> Self {
        Self {
            known: HashMap::new(),
            missing: HashMap::new(),
            root,
            limit,
            rejected: 0,
        }
    }

    /// Number of remembered cgroups, their limit, and how many were rejected.
    pub fn table(&self) -> Table {
        Table {
            used: self.known.len(),
            limit: self.limit,
            rejected: self.rejected,
        }
    }

    /// The record of a cgroup.
    pub fn get(&self, id: u64) -> Option<&Cgroup> {
        self.known.get(&id)
    }

    /// All known cgroups, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Cgroup)> {
        self.known.iter().map(|(id, cgroup)| (*id, cgroup))
    }

    /// Whether a cgroup is known and has not gone.
    pub fn lives(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|cgroup| cgroup.gone.is_none())
    }

    /// Whether it is the root cgroup, which has the processes that were put into no other.
    pub fn is_root(&self, id: u64) -> bool {
        id == self.root
    }

    /// Whether it was looked up recently and not found.
    pub fn is_missing(&self, id: u64) -> bool {
        self.missing.contains_key(&id)
    }

    /// The existing cgroups of points: id, path, point.
    pub fn points(&self) -> impl Iterator<Item = (u64, &str, &Arc<Point>)> {
        let here = self.iter().filter(|(_, cgroup)| cgroup.gone.is_none());
        here.filter_map(|(id, cgroup)| Some((id, cgroup.path.as_str(), cgroup.owner.point()?)))
    }

    /// The pods of points that exist, each with its point; one for each container that is a point.
    pub fn point_pods(&self) -> impl Iterator<Item = (&Arc<Point>, &LocalPod)> {
        let here = self.iter().filter(|(_, cgroup)| cgroup.gone.is_none());
        here.filter_map(|(_, cgroup)| match &cgroup.owner {
            Owner::Container(named) => Some((cgroup.owner.point()?, &*named.pod)),
            _ => None,
        })
    }

    /// The endpoint that a cgroup is, when it is known.
    pub fn endpoint(&self, id: u64) -> Option<Endpoint> {
        match &self.known.get(&id)?.owner {
            Owner::Node(_) => Some(Endpoint::Node),
            owner => owner.identity().cloned().map(Endpoint::from),
        }
    }

    /// Adds a cgroup. It is rejected when all places are taken by cgroups with a known owner.
    pub fn insert(&mut self, id: u64, path: String) {
        if self.known.len() >= self.limit && !self.known.contains_key(&id) {
            self.make_room();
            if self.known.len() >= self.limit {
                self.rejected += 1;
                return;
            }
        }
        self.missing.remove(&id);
        self.known.entry(id).or_insert(Cgroup {
            path,
            owner: Owner::NotAsked,
            gone: None,
        });
    }

    /// Removed cgroups, and those without a known owner, are evicted first.
    fn make_room(&mut self) {
        self.known.retain(|_, cgroup| {
            cgroup.gone.is_none() && !matches!(cgroup.owner, Owner::Nobody(_) | Owner::Node(_) | Owner::NotAsked)
        });
    }

    /// Adds the cgroup of an entry of the inventory, which is never rejected. Returns whether it is new.
    pub fn insert_entry(&mut self, id: u64, path: &str, identity: &Identity) -> bool {
        let cgroup = self.known.entry(id).or_insert_with(|| Cgroup {
            path: path.to_owned(),
            owner: Owner::NotAsked,
            gone: None,
        });
        let is_new = !matches!(&cgroup.owner, Owner::Known(known) if known == identity);
        if is_new {
            cgroup.owner = Owner::Known(identity.clone());
        }
        is_new
    }

    /// Sets the owner of a known cgroup.
    pub fn set(&mut self, id: u64, owner: Owner) {
        if let Some(cgroup) = self.known.get_mut(&id) {
            cgroup.owner = owner;
        }
    }

    /// Records that a cgroup was removed.
    pub fn remove(&mut self, id: u64, now: Instant) {
        if let Some(cgroup) = self.known.get_mut(&id) {
            cgroup.gone.get_or_insert(now);
        }
    }

    /// Records that a cgroup was not found in any tree.
    pub fn miss(&mut self, id: u64, now: Instant) {
        if self.missing.len() < self.limit {
            self.missing.insert(id, now);
        }
    }

    /// Forgets cgroups that were removed long ago.
    pub fn expire(&mut self, now: Instant) {
        self.known
            .retain(|_, cgroup| cgroup.gone.is_none_or(|gone| now.duration_since(gone) < REMEMBERED));
        self.missing
            .retain(|_, looked| now.duration_since(*looked) < LOOK_AGAIN);
    }

    /// Marks all cgroups for a new lookup.
    pub fn forget_all(&mut self) {
        for cgroup in self.known.values_mut() {
            cgroup.owner = Owner::NotAsked;
        }
    }

    /// Marks cgroups without a known owner for a new lookup.
    pub fn forget_nobody(&mut self) {
        self.missing.clear();
        for cgroup in self.known.values_mut() {
            if matches!(cgroup.owner, Owner::Nobody(_) | Owner::Node(_)) {
                cgroup.owner = Owner::NotAsked;
            }
        }
    }
}
