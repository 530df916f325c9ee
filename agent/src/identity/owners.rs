//! Who owns the sockets of a cgroup: an entry of the inventory, a container of a pod, a proxy on the node itself. What is known, and
//! no way to find out more.

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

/// A cgroup is looked at again after so long: its process may have started another program.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A cgroup that is gone is remembered for so long: its last connections may be read only now.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Who owns a cgroup.
#[derive(Clone, Debug)]
pub enum Owner {
    /// Nobody has asked yet.
    NotAsked,
    /// An entry of the inventory, or a proxy that its processes show.
    Known(Identity),
    /// A container of a pod.
    Container(Named),
    /// A container of a pod whose object has not come yet, or does not name the container yet.
    Expected(Option<Arc<LocalPod>>),
    /// The node's own, in a cluster, as it was found then.
    Node(Instant),
    /// Nobody that is known, as it was found then.
    Nobody(Instant),
}

impl Owner {
    /// The point that it is.
    pub fn point(&self) -> Option<&Arc<Point>> {
        match self.identity() {
            Some(Identity::Point(point)) => Some(point),
            _ => None,
        }
    }

    /// The workload or point that it is.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Known(identity) | Self::Container(Named { identity, .. }) => Some(identity),
            Self::NotAsked | Self::Expected(_) | Self::Node(_) | Self::Nobody(_) => None,
        }
    }

    /// Whether it is time to look at its processes again. Of what is expected, an update of its pod tells.
    pub fn is_due(&self, now: Instant) -> bool {
        let is_past = |looked: &Instant| now.duration_since(*looked) > LOOK_AGAIN;
        match self {
            Self::Nobody(looked) | Self::Node(looked) => is_past(looked),
            Self::Container(named) => !named.settled && is_past(&named.since),
            Self::NotAsked | Self::Known(_) | Self::Expected(_) => false,
        }
    }
}

/// A container that has its name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its pod.
    pub pod: Arc<LocalPod>,
    /// The workload, or the point that the container is.
    pub identity: Identity,
    /// When its processes were first looked at.
    pub since: Instant,
    /// They were looked at a second time: at first they may still be the runtime's.
    pub settled: bool,
}

impl Named {
    /// Whether its sockets and processes are in the network namespace of its own pod, and nowhere else.
    pub fn stays_at_home(&self) -> bool {
        let enters_others = matches!(&self.identity, Identity::Point(point) if point.kind == Kind::Ztunnel);
        !self.pod.host_network && !enters_others
    }

    /// Whether its sockets act in the name of its own pod: those of applications, and of sidecars.
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
    /// Where it is, below the root.
    pub path: String,
    /// Who owns it.
    pub owner: Owner,
    /// When it was found to be gone.
    pub gone: Option<Instant>,
}

/// All cgroups that are known, by id.
#[derive(Debug)]
pub struct CgroupOwners {
    known: HashMap<u64, Cgroup>,
    /// Cgroups that are in no tree, since they were looked for: gone before they were asked about.
    missing: HashMap<u64, Instant>,
    root: u64,
    limit: usize,
    rejected: u64,
}

impl CgroupOwners {
    /// Nothing known yet but the id of the root; at most `limit` are remembered.
    pub fn new(root: u64, limit: usize) -> Self {
        Self {
            known: HashMap::new(),
            missing: HashMap::new(),
            root,
            limit,
            rejected: 0,
        }
    }

    /// Cgroups that are remembered, how many there may be, and how many found no place.
    pub fn table(&self) -> Table {
        Table {
            used: self.known.len(),
            limit: self.limit,
            rejected: self.rejected,
        }
    }

    /// What is known of a cgroup.
    pub fn get(&self, id: u64) -> Option<&Cgroup> {
        self.known.get(&id)
    }

    /// All that are known.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Cgroup)> {
        self.known.iter().map(|(id, cgroup)| (*id, cgroup))
    }

    /// Whether a cgroup is known and has not gone.
    pub fn lives(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|cgroup| cgroup.gone.is_none())
    }

    /// Whether it has the id of the root, which holds what nobody put anywhere.
    pub fn is_root(&self, id: u64) -> bool {
        id == self.root
    }

    /// Whether it was looked for a moment ago, and is in no tree.
    pub fn is_missing(&self, id: u64) -> bool {
        self.missing.contains_key(&id)
    }

    /// The cgroups of points that have not gone: id, path, whose.
    pub fn points(&self) -> impl Iterator<Item = (u64, &str, &Arc<Point>)> {
        let here = self.iter().filter(|(_, cgroup)| cgroup.gone.is_none());
        here.filter_map(|(id, cgroup)| Some((id, cgroup.path.as_str(), cgroup.owner.point()?)))
    }

    /// Who a cgroup is, when that is known.
    pub fn endpoint(&self, id: u64) -> Option<Endpoint> {
        match &self.known.get(&id)?.owner {
            Owner::Node(_) => Some(Endpoint::Node),
            owner => owner.identity().cloned().map(Endpoint::from),
        }
    }

    /// Takes in that there is a cgroup. It finds no place when all are taken by those that are somebody's.
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

    /// Those that are gone, or are nobody's, are forgotten first.
    fn make_room(&mut self) {
        self.known.retain(|_, cgroup| {
            cgroup.gone.is_none() && !matches!(cgroup.owner, Owner::Nobody(_) | Owner::Node(_) | Owner::NotAsked)
        });
    }

    /// The cgroup of an entry of the inventory, which always finds a place. Whether that was not known.
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

    /// Says who owns a cgroup that is known.
    pub fn set(&mut self, id: u64, owner: Owner) {
        if let Some(cgroup) = self.known.get_mut(&id) {
            cgroup.owner = owner;
        }
    }

    /// Takes in that a cgroup has gone.
    pub fn remove(&mut self, id: u64, now: Instant) {
        if let Some(cgroup) = self.known.get_mut(&id) {
            cgroup.gone.get_or_insert(now);
        }
    }

    /// Takes in that a cgroup was looked for and is in no tree.
    pub fn miss(&mut self, id: u64, now: Instant) {
        if self.missing.len() < self.limit {
            self.missing.insert(id, now);
        }
    }

    /// Forgets what is long gone.
    pub fn expire(&mut self, now: Instant) {
        self.known
            .retain(|_, cgroup| cgroup.gone.is_none_or(|gone| now.duration_since(gone) < REMEMBERED));
        self.missing
            .retain(|_, looked| now.duration_since(*looked) < LOOK_AGAIN);
    }

    /// All are to be asked about again.
    pub fn forget_all(&mut self) {
        for cgroup in self.known.values_mut() {
            cgroup.owner = Owner::NotAsked;
        }
    }

    /// Those that were nobody's are to be asked about again.
    pub fn forget_nobody(&mut self) {
        self.missing.clear();
        for cgroup in self.known.values_mut() {
            if matches!(cgroup.owner, Owner::Nobody(_) | Owner::Node(_)) {
                cgroup.owner = Owner::NotAsked;
            }
        }
    }
}
