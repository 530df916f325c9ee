//! The network namespaces of this node's pods, current and former.

use super::{
    Workload,
    history::{Held, History},
    kubernetes::LocalPod,
    owners::{CgroupOwners, LOOK_AGAIN},
};
use crate::clock::Millis;
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

/// Upper bound for namespaces that were looked up in vain: far more than any node has.
const MOST_MISSING: usize = 10_000;

/// A pod as the place of sockets: the workload of the network namespace.
#[derive(Clone, Debug)]
pub struct Place {
    /// The key of the pod: see `key_of`.
    pub pod: u128,
    /// The workload that the pod belongs to.
    pub workload: Arc<Workload>,
    /// The pod's IP addresses.
    pub addresses: Arc<[IpAddr]>,
    /// When the pod got its addresses.
    pub begin: Millis,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.workload == other.workload
    }
}

impl Place {
    /// The place that this pod is.
    pub fn of(pod: &LocalPod) -> Self {
        Self {
            pod: pod.uid,
            workload: pod.workload.clone(),
            addresses: pod.addresses.clone(),
            begin: pod.begin,
        }
    }
}

/// The pod that was last seen in a namespace, and the cgroup it was seen by.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The key of the pod: see `key_of`.
    pub pod: u128,
    /// The cgroup of one of its containers.
    pub cgroup: u64,
}

/// The network namespaces of this node's pods.
#[derive(Debug)]
pub struct Namespaces {
    host: Option<u32>,
    history: History<u32, Place>,
    seen: HashMap<u32, Seen>,
    /// Namespaces in which a proxy acts and no pod is known, by the time of their lookup.
    missing: HashMap<u32, Instant>,
}

impl Namespaces {
    /// Knows only the host's network namespace.
    pub fn new(host: Option<u32>) -> Self {
        Self {
            host,
            history: History::default(),
            seen: HashMap::new(),
            missing: HashMap::new(),
        }
    }

    /// Whether it is the host's network namespace.
    pub fn is_host(&self, netns: u32) -> bool {
        self.host == Some(netns)
    }

    /// The pod that a namespace belonged to from `from` to `to`.
    pub fn at(&self, netns: u32, from: Millis, to: Millis) -> Held<Place> {
        self.history.at(&netns, from, to)
    }

    /// Namespaces in which a pod was seen.
    pub fn seen(&self) -> impl Iterator<Item = (u32, Seen)> {
        self.seen.iter().map(|(netns, seen)| (*netns, *seen))
    }

    /// Whether it was looked up recently, in vain.
    pub fn is_missing(&self, netns: u32) -> bool {
        self.missing.contains_key(&netns)
    }

    /// Whether a socket or a process of the pod in this namespace is new information. A pod that enters another's namespace does
    /// not become its owner while the other one exists.
    pub fn is_new(&self, netns: u32, pod: u128, owners: &CgroupOwners) -> bool {
        self.seen
            .get(&netns)
            .is_none_or(|seen| seen.pod != pod && !owners.lives(seen.cgroup))
    }

    /// Records that a container of a pod was seen in this namespace.
    pub fn see(&mut self, netns: u32, cgroup: u64, pod: &LocalPod) {
        self.seen.insert(netns, Seen { pod: pod.uid, cgroup });
        self.missing.remove(&netns);
        if !self.is_host(netns) {
            let place = Place::of(pod);
            let begin = place.begin;
            self.history.hold(&netns, pod.uid, place, begin);
        }
    }

    /// Records that no pod is known in this namespace.
    pub fn miss(&mut self, netns: u32, now: Instant) {
        if !self.seen.contains_key(&netns) && self.missing.len() < MOST_MISSING {
            self.missing.insert(netns, now);
        }
    }

    /// Forgets namespaces that ended before `time`, and sightings by cgroups that have been forgotten.
    pub fn expire(&mut self, time: Millis, now: Instant, owners: &CgroupOwners) {
        self.history.forget(time);
        self.seen.retain(|_, seen| owners.get(seen.cgroup).is_some());
        self.missing
            .retain(|_, looked| now.duration_since(*looked) < LOOK_AGAIN);
    }
}
