//! From cgroup, network namespace and address to an identity: what is known at one moment, and the answers derived from it.
//!
//! The cgroup tells who owns a socket, the network namespace where the socket is. They differ where a shared proxy opens its
//! sockets inside the workloads' namespaces, as ztunnel does: then the cgroup is that of the point, and the namespace that of the
//! workload it serves. Cgroup ids are never reused; namespaces and addresses are, so they are looked up with the time in question.

use super::{
    Binding, Endpoint, Identities, Neighbourhood, Question, Span, Workload,
    address::{is_global, peer_address},
    entries::Entries,
    history::Held,
    kubernetes,
    namespaces::{Namespaces, Place},
    networks::KnownNetworks,
    owners::{Cgroup, CgroupOwners, Owner},
};
use crate::{node::PodUid, points::Point};
use agent_common::FlowKey;
use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, RwLockReadGuard},
};

/// The source of the kubelet's probes in Istio's ambient mode.
const AMBIENT_PROBES: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 7, 127));

/// What is known of this node.
#[derive(Debug)]
pub struct NodeDirectory {
    /// The owners of its cgroups.
    pub owners: CgroupOwners,
    /// The workloads that its network namespaces belong to.
    pub namespaces: Namespaces,
    /// The entries of the inventory.
    pub entries: Entries,
    /// Named ranges of addresses that nobody known holds.
    pub networks: KnownNetworks,
    /// The addresses of its own network.
    pub addresses: HashSet<IpAddr>,
    /// Changes whenever a new owner becomes known.
    pub generation: u64,
}

/// All that is known at one moment. It is borrowed from the [`Observer`](super::Observer), so nothing is copied, and nothing
/// changes while it is borrowed: the node's half can be changed through the observer only, and the cluster's is read-locked once
/// for all questions of a pass.
pub struct Directory<'a> {
    node: &'a NodeDirectory,
    cluster: Option<RwLockReadGuard<'a, kubernetes::Directory>>,
    generation: u64,
    is_final: bool,
}

/// What the cgroup tells about the local end of the flow.
struct Local {
    owner: Endpoint,
    /// The pod that the cgroup belongs to.
    pod: Option<u128>,
    /// The pod as the place of its own sockets; `None` for a proxy that acts for others.
    own: Option<Place>,
    /// More about the owner will become known.
    expected: bool,
}

impl Local {
    fn of(owner: Endpoint) -> Self {
        Self {
            owner,
            pod: None,
            own: None,
            expected: false,
        }
    }
}

impl<'a> Directory<'a> {
    /// Combines what the node and the cluster know. A directory that `is_final` asks no questions: what is not known by now counts
    /// as unknown.
    pub fn new(node: &'a NodeDirectory, cluster: Option<&'a kubernetes::Shared>, is_final: bool) -> Self {
        let cluster = cluster.map(kubernetes::Shared::directory);
        Self {
            generation: node.generation + cluster.as_ref().map_or(0, |cluster| cluster.generation()),
            node,
            cluster,
            is_final,
        }
    }

    /// The network namespaces of this node's workloads: those of running pods, and those of the inventory.
    pub fn neighbourhoods(&self) -> Vec<(u32, Neighbourhood)> {
        let of_pods = self.cluster.iter().flat_map(|cluster| {
            self.node.namespaces.seen().filter_map(|(netns, seen)| {
                let pod = cluster.local(PodUid(seen.pod))?;
                let neighbourhood = || Neighbourhood {
                    workload: pod.workload.clone(),
                    waypoints: cluster.waypoints_of(pod).into(),
                };
                let is_a_workloads = self.node.owners.lives(seen.cgroup) && pod.point.is_none();
                is_a_workloads.then(|| (netns, neighbourhood()))
            })
        });
        of_pods.chain(self.node.entries.neighbourhoods()).collect()
    }

    /// The zone egress, if there is one, from the inventory or the cluster.
    pub fn zone_egress(&self) -> Option<Arc<Point>> {
        let own = self.node.entries.zone_egress();
        own.or_else(|| self.cluster.as_ref()?.zone_egress()).cloned()
    }

    fn local(&self, cgroup: u64) -> Local {
        if cgroup == 0 {
            return Local::of(Endpoint::Unknown);
        }
        let is_in_cluster = self.cluster.is_some();
        let owner = match self.node.owners.get(cgroup) {
            // Processes in the root cgroup belong to the node itself.
            _ if self.node.owners.is_root(cgroup) && is_in_cluster => return Local::of(Endpoint::Node),
            _ if self.node.owners.is_root(cgroup) => return Local::of(Endpoint::Unknown),
            Some(cgroup) => &cgroup.owner,
            None => return Local::of(Endpoint::Unknown),
        };
        match owner {
            Owner::Known(identity) => Local::of(identity.clone().into()),
            Owner::Container(named) => Local {
                pod: Some(named.pod.uid),
                own: named.acts_for_itself().then(|| Place::of(&named.pod)),
                ..Local::of(named.identity.clone().into())
            },
            Owner::Expected(pod) => Local {
                own: pod.as_deref().filter(|pod| pod.point.is_none()).map(Place::of),
                pod: pod.as_deref().map(|pod| pod.uid),
                expected: true,
                ..Local::of(Endpoint::Unknown)
            },
            Owner::Node(_) => Local::of(Endpoint::Node),
            Owner::NotAsked | Owner::Nobody(_) => Local::of(Endpoint::Unknown),
        }
    }

    /// Whether the observer has something to inspect: a cgroup that has not been looked up yet, or a network namespace in which
    /// this is the first socket.
    fn is_open(&self, key: &FlowKey, held: &Held<Place>) -> bool {
        let (owners, namespaces) = (&self.node.owners, &self.node.namespaces);
        if self.is_final || key.cgroup == 0 || owners.is_root(key.cgroup) {
            return false;
        }
        match owners.get(key.cgroup).map(|cgroup: &Cgroup| &cgroup.owner) {
            None => !owners.is_missing(key.cgroup),
            Some(Owner::NotAsked) => true,
            Some(Owner::Container(named)) if named.stays_at_home() => {
                namespaces.is_new(key.netns, named.pod.uid, owners)
            }
            // It acts for the workload in that namespace, whose own first socket may be just as new.
            Some(Owner::Container(_)) => {
                *held == Held::Nobody && !namespaces.is_host(key.netns) && !namespaces.is_missing(key.netns)
            }
            Some(Owner::Known(_) | Owner::Expected(_) | Owner::Node(_) | Owner::Nobody(_)) => false,
        }
    }

    /// The other end, and whether the answer is final.
    fn peer(&self, key: &FlowKey, span: Span, pod: Option<&Place>, place: Option<&Arc<Workload>>) -> (Endpoint, bool) {
        let Some(address) = peer_address(key) else {
            return (Endpoint::Unknown, true);
        };
        // Within a workload's namespace, the workload's addresses are its own, even if others hold the same addresses elsewhere.
        if let Some(workload) = place {
            let own = match pod {
                Some(pod) => pod.addresses.contains(&address),
                None => self.node.entries.has(workload, address),
            };
            // On the node's network, loopback is shared by all.
            if own || (address.is_loopback() && !self.node.namespaces.is_host(key.netns)) {
                return (Endpoint::Workload(workload.clone()), true);
            }
        }
        match self.node.entries.at(address) {
            [] => {}
            [identity] => return (identity.clone().into(), true),
            _ => return (Endpoint::Unknown, true),
        }
        if let Some(found) = self.in_cluster(address, span) {
            return found;
        }
        let is_host = self.node.namespaces.is_host(key.netns);
        if self.node.addresses.contains(&address) || (address.is_loopback() && is_host) {
            return (Endpoint::Node, true);
        }
        let endpoint = match self.node.networks.at(address) {
            Some(network) => Endpoint::Network(network.clone()),
            None if is_global(address) => Endpoint::External,
            None => Endpoint::Unknown,
        };
        // A pod's address may be global, or in a network, too.
        (endpoint, self.cluster.is_none())
    }

    /// Looks up an address in the cluster.
    fn in_cluster(&self, address: IpAddr, span: Span) -> Option<(Endpoint, bool)> {
        let cluster = self.cluster.as_ref()?;
        match cluster.address(address, span.from, span.to) {
            Held::One(identity) => return Some((identity.into(), false)),
            Held::Several => return Some((Endpoint::Unknown, false)),
            Held::Nobody => {}
        }
        (cluster.is_node(address) || address == AMBIENT_PROBES).then_some((Endpoint::Node, true))
    }
}

impl Identities for Directory<'_> {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn bind(&self, key: &FlowKey, span: Span) -> Binding {
        let local = self.local(key.cgroup);
        let held = self.node.namespaces.at(key.netns, span.from, span.to);
        let question = self.is_open(key, &held).then_some(Question {
            cgroup: key.cgroup,
            netns: key.netns,
        });
        let pod = match (local.own, held) {
            // Its own pod's workload, whatever namespace the socket is in.
            (Some(own), _) => Some(own),
            // A proxy in its own pod acts for itself; one in another pod's namespace acts for that pod.
            (None, Held::One(place)) if local.pod != Some(place.pod) => Some(place),
            _ => None,
        };
        let place = match &pod {
            Some(place) => Some(place.workload.clone()),
            None => self.node.entries.in_namespace(key.netns).cloned(),
        };
        let (peer, sure) = self.peer(key, span, pod.as_ref(), place.as_ref());
        Binding {
            owner: local.owner,
            place,
            peer,
            expected: local.expected,
            sure,
            question,
            generation: self.generation,
        }
    }
}

#[cfg(test)]
mod tests;
