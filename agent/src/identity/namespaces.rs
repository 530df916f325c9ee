//! Whose network namespaces this node's pods are in, now and before.

use super::{
    Workload,
    history::{Held, History},
    kubernetes::LocalPod,
    owners::{CgroupOwners, LOOK_AGAIN},
};
use crate::clock::Millis;
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

/// Namespaces that were asked about in vain, at most: far more than any node has.
const MOST_MISSING: usize = 10_000;

/// Where a pod is: the network namespace's workload.
#[derive(Clone, Debug)]
pub struct Place {
    /// The pod.
    pub pod: u128,
    /// Its workload.
    pub workload: Arc<Workload>,
    /// Its addresses.
    pub addresses: Arc<[IpAddr]>,
    /// Since when.
    pub begin: Millis,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.workload == other.workload
    }
}

impl Place {
    /// Where this pod is.
    pub fn of(pod: &LocalPod) -> Self {
        Self {
            pod: pod.uid,
            workload: pod.workload.clone(),
            addresses: pod.addresses.clone(),
            begin: pod.begin,
        }
    }
}

/// The pod that was last seen in a namespace, and the cgroup by which it was.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The pod.
    pub pod: u128,
    /// The cgroup of a container of it.
    pub cgroup: u64,
}

/// The network namespaces of this node's pods.
#[derive(Debug)]
pub struct Namespaces {
    host: Option<u32>,
    history: History<u32, Place>,
    seen: HashMap<u32, Seen>,
    /// Those that somebody acts in and nobody is known to be in, since they were asked about.
    missing: HashMap<u32, Instant>,
}

impl Namespaces {
    /// Nothing known yet but the node's own.
    pub fn new(host: Option<u32>) -> Self {
        Self {
            host,
            history: History::default(),
            seen: HashMap::new(),
            missing: HashMap::new(),
        }
    }

    /// Whether it is the node's own.
    pub fn is_host(&self, netns: u32) -> bool {
        self.host == Some(netns)
    }

    /// Whose a namespace was from `from` to `to`.
    pub fn at(&self, netns: u32, from: Millis, to: Millis) -> Held<Place> {
        self.history.at(&netns, from, to)
    }

    /// Those that a pod was seen in.
    pub fn seen(&self) -> impl Iterator<Item = (u32, Seen)> {
        self.seen.iter().map(|(netns, seen)| (*netns, *seen))
    }

    /// Whether it was asked about a moment ago, in vain.
    pub fn is_missing(&self, netns: u32) -> bool {
        self.missing.contains_key(&netns)
    }

    /// Whether a socket or a process of the pod in this namespace says something new. A pod that enters another's does not become
    /// its owner while the other one lives.
    pub fn is_new(&self, netns: u32, pod: u128, owners: &CgroupOwners) -> bool {
        self.seen
            .get(&netns)
            .is_none_or(|seen| seen.pod != pod && !owners.lives(seen.cgroup))
    }

    /// Takes in that a container of a pod was seen in this namespace.
    pub fn see(&mut self, netns: u32, cgroup: u64, pod: &LocalPod) {
        self.seen.insert(netns, Seen { pod: pod.uid, cgroup });
        self.missing.remove(&netns);
        if !self.is_host(netns) {
            let place = Place::of(pod);
            let begin = place.begin;
            self.history.hold(&netns, pod.uid, place, begin);
        }
    }

    /// Takes in that nobody is known to be in this namespace.
    pub fn miss(&mut self, netns: u32, now: Instant) {
        if !self.seen.contains_key(&netns) && self.missing.len() < MOST_MISSING {
            self.missing.insert(netns, now);
        }
    }

    /// Forgets namespaces that ended before `time`, and by whom they were seen, when that is forgotten.
    pub fn expire(&mut self, time: Millis, now: Instant, owners: &CgroupOwners) {
        self.history.forget(time);
        self.seen.retain(|_, seen| owners.get(seen.cgroup).is_some());
        self.missing
            .retain(|_, looked| now.duration_since(*looked) < LOOK_AGAIN);
    }
}
