//! From cgroup, network namespace and address to an identity.
//!
//! The cgroup says who holds a socket, the network namespace where it is. They differ where a shared proxy opens its
//! sockets inside the workloads' namespaces, as ztunnel does: then the cgroup is the point and the namespace is the
//! workload that it serves. Cgroup ids are never used again; namespaces and addresses are, so these are asked for with the
//! time in question.

use super::{
    Entry, Identity, Inventory, Workload,
    address::{is_global, peer_address},
    history::{Held, History, Millis},
    holders::{Holders, Place},
    kubernetes::{Shared, Source, lock},
    party::{Binding, Neighbourhood, Party, Span},
};
use crate::{
    kernel::CgroupChange,
    node::{self, Cgroups},
    points::{Kind, Point, Rules},
};
use agent_common::FlowKey;
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

/// The node's own addresses are read so often: its routing table, where they stand, can be long.
const HOST_ADDRESSES: Duration = Duration::from_secs(30);

/// The source of the kubelet's probes in Istio's ambient mode.
const AMBIENT_PROBES: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 7, 127));

/// Answers who somebody is.
pub struct Resolver {
    entries: Vec<Entry>,
    holders: Holders,
    by_netns: HashMap<u32, Arc<Workload>>,
    addresses: HashMap<IpAddr, Vec<Identity>>,
    holders_of: HashMap<Arc<Workload>, HashSet<IpAddr>>,
    /// Which waypoints the inventory names for whom.
    waypoints: HashMap<Arc<Workload>, Arc<[String]>>,
    /// Network namespaces of this node's pods.
    places: History<u32, Place>,
    kubernetes: Option<Arc<Shared>>,
    this_node_only: bool,
    host_addresses: HashSet<IpAddr>,
    host_read: Option<Instant>,
    host_netns: Option<u32>,
    missing: Vec<String>,
    generation: u64,
}

impl Resolver {
    /// A resolver that knows nobody yet. `kubernetes` is the cluster, when there is one; `cgroups_limit` bounds what is
    /// remembered of cgroups.
    pub fn new(cgroups: Cgroups, rules: Rules, kubernetes: Option<Arc<Shared>>, cgroups_limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            holders: Holders::new(cgroups, rules, kubernetes.clone(), cgroups_limit),
            this_node_only: kubernetes
                .as_ref()
                .is_some_and(|shared| !shared.reads(Source::ClusterPods)),
            by_netns: HashMap::new(),
            addresses: HashMap::new(),
            holders_of: HashMap::new(),
            waypoints: HashMap::new(),
            places: History::default(),
            kubernetes,
            host_addresses: HashSet::new(),
            host_read: None,
            host_netns: node::host_netns(),
            missing: Vec::new(),
            generation: 0,
        }
    }

    /// Whether pods of other nodes are never known.
    pub fn knows_this_node_only(&self) -> bool {
        self.this_node_only
    }

    /// Changes whenever somebody new may be known.
    pub fn generation(&self) -> u64 {
        let cluster = self
            .kubernetes
            .as_ref()
            .map_or(0, |shared| lock(&shared.directory).generation());
        self.generation + self.holders.generation() + cluster
    }

    /// The inventory's cgroups and namespaces that do not exist at the moment, each with its line.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The points that are known by their cgroup, and have not gone.
    pub fn points(&self) -> impl Iterator<Item = &Arc<Point>> {
        self.holders.points()
    }

    /// The network namespaces of this node's workloads.
    pub fn neighbourhoods(&self) -> Vec<(u32, Neighbourhood)> {
        let mut found = self.holders.neighbourhoods();
        found.extend(self.by_netns.iter().map(|(netns, workload)| {
            let waypoints = self.waypoints.get(workload).cloned().unwrap_or_default();
            let workload = workload.clone();
            (*netns, Neighbourhood { workload, waypoints })
        }));
        found
    }

    /// The zone egress that there is, of the inventory or of the cluster.
    pub fn zone_egress(&self) -> Option<Arc<Point>> {
        let own = self.entries.iter().find_map(|entry| match &entry.identity {
            Identity::Point(point) if point.kind == Kind::ZoneEgress => Some(point.clone()),
            _ => None,
        });
        own.or_else(|| {
            let shared = self.kubernetes.as_ref()?;
            lock(&shared.directory).zone_egress().cloned()
        })
    }

    /// What is known of cgroups.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Takes in that a cgroup came or went.
    pub fn cgroup(&mut self, change: &CgroupChange<'_>) {
        self.holders.change(change);
    }

    /// Takes a new inventory; forgets what the old one said.
    pub fn set_inventory(&mut self, inventory: Inventory) {
        self.entries = inventory.entries;
        self.holders.set_entries(&self.entries);
        self.by_netns.clear();
        self.addresses.clear();
        self.holders_of.clear();
        self.waypoints.clear();
        for entry in &self.entries {
            if let (Identity::Workload(workload), Some(waypoint)) = (&entry.identity, &entry.waypoint) {
                self.waypoints.insert(workload.clone(), Arc::new([waypoint.clone()]));
            }
            for &address in &entry.addresses {
                self.addresses.entry(address).or_default().push(entry.identity.clone());
                if let Identity::Workload(workload) = &entry.identity {
                    self.holders_of.entry(workload.clone()).or_default().insert(address);
                }
            }
        }
        self.generation += 1;
    }

    /// Looks where everybody is now: cgroups and namespaces come and go. `told` when the kernel has told of all
    /// cgroups that came and went.
    pub fn refresh(&mut self, now: Millis, told: bool) {
        self.missing.clear();
        if self.host_read.is_none_or(|read| read.elapsed() > HOST_ADDRESSES) {
            self.host_read = Some(Instant::now());
            self.host_addresses = node::host_addresses();
        }
        self.holders.refresh(Instant::now(), told, &mut self.missing);
        for place in self.holders.take_places() {
            self.place(place);
        }
        self.places.forget(now - super::kubernetes::directory::REMEMBERED);
        for entry in &self.entries {
            if let (Some(path), Identity::Workload(workload)) = (&entry.netns, &entry.identity) {
                match node::netns_inode(path) {
                    Some(inode) => {
                        if self.by_netns.insert(inode, workload.clone()).as_ref() != Some(workload) {
                            self.generation += 1;
                        }
                    }
                    None => self.missing.push(format!(
                        "line {}: network namespace {} of {} does not exist",
                        entry.line,
                        path.display(),
                        entry.identity
                    )),
                }
            }
        }
    }

    /// Takes in what has become known of this node's pods since the last [`Resolver::refresh`], without looking at cgroups
    /// and namespaces again.
    pub fn catch_up(&mut self) {
        self.holders.catch_up();
        for place in self.holders.take_places() {
            self.place(place);
        }
    }

    /// A pod is in this network namespace.
    fn place(&mut self, (netns, place): (u32, Place)) {
        if Some(netns) != self.host_netns {
            let (pod, begin) = (place.pod, place.begin);
            self.places.hold(&netns, pod, place, begin);
            self.generation += 1;
        }
    }

    /// Who a flow belonged to when it did what it did in `span`.
    pub fn bind(&mut self, key: &FlowKey, span: Span) -> Binding {
        let holder = self.holders.holder(key.cgroup, key.netns);
        for place in self.holders.take_places() {
            self.place(place);
        }
        let held = self.places.at(&key.netns, span.from, span.to);
        let pod = match (holder.own, held) {
            // Its own pod's namespace, and nobody else's, whatever namespace it is in.
            (Some(own), _) => Some(own),
            // A proxy in its own pod acts for itself; one in another pod's namespace acts for that pod.
            (None, Held::One(place)) if holder.pod != Some(place.pod) => Some(place),
            _ => None,
        };
        let place = match &pod {
            Some(place) => Some(place.workload.clone()),
            None => self.by_netns.get(&key.netns).cloned(),
        };
        let (peer, sure) = self.peer(key, span, pod.as_ref(), place.as_ref());
        Binding {
            holder: holder.party,
            place,
            peer,
            expected: holder.expected,
            sure,
            generation: self.generation(),
        }
    }

    /// The other end, and whether the answer is final.
    fn peer(&self, key: &FlowKey, span: Span, pod: Option<&Place>, place: Option<&Arc<Workload>>) -> (Party, bool) {
        let Some(address) = peer_address(key) else {
            return (Party::Unknown, true);
        };
        // Within a workload's namespace, its own addresses are its own, whoever else has the same elsewhere.
        if let Some(workload) = place {
            let own = match pod {
                Some(pod) => pod.addresses.contains(&address),
                None => self.holders_of.get(workload).is_some_and(|own| own.contains(&address)),
            };
            // On the node's network, loopback is everybody's.
            if own || (address.is_loopback() && Some(key.netns) != self.host_netns) {
                return (Party::Workload(workload.clone()), true);
            }
        }
        match self.addresses.get(&address).map(Vec::as_slice) {
            Some([identity]) => return (identity.clone().into(), true),
            Some(_) => return (Party::Unknown, true),
            None => {}
        }
        if let Some(shared) = &self.kubernetes {
            let mut directory = lock(&shared.directory);
            match directory.address(address, span.from, span.to) {
                Held::One(identity) => return (identity.into(), false),
                Held::Several => return (Party::Unknown, false),
                Held::Nobody => {}
            }
            if directory.is_node(address) || address == AMBIENT_PROBES {
                return (Party::Node, true);
            }
        }
        if self.host_addresses.contains(&address) || (address.is_loopback() && Some(key.netns) == self.host_netns) {
            return (Party::Node, true);
        }
        let party = if is_global(address) {
            Party::External
        } else {
            Party::Unknown
        };
        // A pod's address may be a global one, too.
        (party, self.kubernetes.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;
    use std::path::Path;

    fn key(netns: u32, peer: &str) -> FlowKey {
        let peer: IpAddr = peer.parse().expect("an address");
        let octets = match peer {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        }
        FlowKey {
            netns,
            peer: words,
            ..FlowKey::default()
        }
    }

    fn resolver(inventory: &str) -> Resolver {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), inventory).expect("written");
        let rules = Rules::new(vec![]).expect("valid");
        let mut resolver = Resolver::new(Cgroups::find().expect("cgroup2"), rules, None, 1_000);
        resolver.set_inventory(Inventory::read(file.path()).expect("valid"));
        resolver.refresh(0, false);
        resolver
    }

    fn bind(resolver: &mut Resolver, key: &FlowKey) -> Binding {
        resolver.bind(key, Span { from: 0, to: 1 })
    }

    fn peer_name(peer: &Party) -> String {
        match peer {
            Party::Workload(workload) => workload.name.clone(),
            Party::Point(point) => point.name.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_address_is_who_holds_it() {
        let mut resolver = resolver(
            "workloads:\n  - { name: a, addresses: [10.0.0.1, fd00::1] }\n  - { name: b, addresses: [10.0.0.2] }\n\
             points:\n  - { name: w, kind: waypoint, addresses: [10.0.0.9] }\n",
        );
        for (peer, expected) in [
            ("10.0.0.1", "a"),
            ("fd00::1", "a"),
            ("10.0.0.2", "b"),
            ("10.0.0.9", "default/w"),
            ("10.0.0.3", "Unknown"),
            ("8.8.8.8", "External"),
            ("2001:db8::1", "External"),
            ("100.64.0.1", "Unknown"),
            ("127.0.0.1", "Unknown"),
        ] {
            assert_eq!(peer_name(&bind(&mut resolver, &key(1, peer)).peer), expected, "{peer}");
        }
        let own = resolver.host_netns.expect("this process has one");
        assert_eq!(bind(&mut resolver, &key(own, "127.0.0.1")).peer, Party::Node);
    }

    #[test]
    fn an_address_that_two_hold_is_decided_by_the_namespace() {
        let mut resolver =
            resolver("workloads:\n  - { name: a, addresses: [10.0.0.1] }\n  - { name: b, addresses: [10.0.0.1] }\n");
        for (netns, entry) in [(7, 0), (8, 1)] {
            let Identity::Workload(workload) = resolver.entries[entry].identity.clone() else {
                panic!("a workload")
            };
            resolver.by_netns.insert(netns, workload);
        }
        assert_eq!(peer_name(&bind(&mut resolver, &key(7, "10.0.0.1")).peer), "a");
        assert_eq!(peer_name(&bind(&mut resolver, &key(8, "10.0.0.1")).peer), "b");
        assert_eq!(peer_name(&bind(&mut resolver, &key(8, "127.0.0.1")).peer), "b");
        assert_eq!(bind(&mut resolver, &key(9, "10.0.0.1")).peer, Party::Unknown);
    }

    #[test]
    fn what_is_missing_is_said_with_its_line() {
        let resolver = resolver("workloads:\n  - { name: a, cgroup: /no/such, netns: /run/netns/no-such }\n");
        assert_eq!(resolver.missing().len(), 2);
        assert!(resolver.missing()[0].starts_with("line 2: cgroup /no/such of workload default/a does not exist"));
    }

    #[test]
    fn errors_in_the_table_of_rules_would_be_found() {
        assert!(yaml::parse::<Vec<crate::points::Rule>>(Path::new("x"), "- { process: a, kind: b }").is_err());
    }
}
