//! From cgroup, network namespace and address to an identity.
//!
//! The cgroup says who holds a socket, the network namespace where it is. They differ where a shared proxy opens its
//! sockets inside the workloads' namespaces, as ztunnel does: then the cgroup is the point and the namespace is the
//! workload that it serves.

use super::{
    Entry, Identity, Inventory, Workload,
    address::{is_global, node_addresses, peer_address},
};
use crate::{
    node::{self, Cgroups},
    points::{Point, Rules},
};
use agent_common::FlowKey;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// A cgroup that is nobody known is looked at again after so long: its process may have started another program.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A cgroup that is gone is remembered for so long: its last connections may be read only now. Its id is never given to
/// another one.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Cgroups remembered at most; those that are nobody known are forgotten first.
const MOST_CGROUPS: usize = 20_000;

/// What the other end of a flow is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A workload.
    Workload(Arc<Workload>),
    /// An enforcement point.
    Point(Arc<Point>),
    /// This node itself.
    Node,
    /// An address outside: global, and in nobody's hands that is known.
    External,
    /// Not known, or several hold the address.
    Unknown,
}

/// Who holds a socket.
pub type Holder = Option<Identity>;

/// Who a flow belongs to.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Who holds the sockets.
    pub holder: Holder,
    /// Whose network namespace they are in.
    pub place: Option<Arc<Workload>>,
    /// The other end.
    pub peer: Peer,
    /// The [`Resolver::generation`] this was found with.
    pub generation: u64,
}

impl Binding {
    /// Whether a better answer may come later.
    pub fn incomplete(&self) -> bool {
        self.peer == Peer::Unknown || (self.holder.is_none() && self.place.is_none())
    }

    /// The workload that this end of the flow is about: whose sockets they are, or in whose name the point acts.
    pub fn workload(&self) -> Option<&Arc<Workload>> {
        match &self.holder {
            Some(Identity::Workload(workload)) => Some(workload),
            _ => self.place.as_ref(),
        }
    }

    /// The point that holds the sockets.
    pub fn point(&self) -> Option<&Arc<Point>> {
        match &self.holder {
            Some(Identity::Point(point)) => Some(point),
            _ => None,
        }
    }
}

/// A cgroup and who it is.
#[derive(Debug)]
struct KnownCgroup {
    identity: Identity,
    path: String,
    /// When it was found to be gone.
    gone: Option<Instant>,
}

/// Answers who somebody is.
#[derive(Debug)]
pub struct Resolver {
    cgroups: Cgroups,
    rules: Rules,
    entries: Vec<Entry>,
    by_cgroup: HashMap<u64, KnownCgroup>,
    nobody: HashMap<u64, Instant>,
    paths: Option<HashMap<u64, String>>,
    by_netns: HashMap<u32, Arc<Workload>>,
    addresses: HashMap<IpAddr, Vec<Identity>>,
    holders_of: HashMap<Arc<Workload>, HashSet<IpAddr>>,
    node_addresses: HashSet<IpAddr>,
    node_netns: Option<u32>,
    missing: Vec<String>,
    generation: u64,
}

impl Resolver {
    /// A resolver that knows nobody yet.
    pub fn new(cgroups: Cgroups, rules: Rules) -> Self {
        Self {
            cgroups,
            rules,
            entries: Vec::new(),
            by_cgroup: HashMap::new(),
            nobody: HashMap::new(),
            paths: None,
            by_netns: HashMap::new(),
            addresses: HashMap::new(),
            holders_of: HashMap::new(),
            node_addresses: HashSet::new(),
            node_netns: node::own_netns(),
            missing: Vec::new(),
            generation: 0,
        }
    }

    /// Changes whenever somebody new may be known.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The inventory's cgroups and namespaces that do not exist at the moment, each with its line.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The points that are known by their cgroup.
    pub fn points(&self) -> impl Iterator<Item = &Arc<Point>> {
        self.by_cgroup.values().filter_map(|known| match &known.identity {
            Identity::Point(point) => Some(point),
            Identity::Workload(_) => None,
        })
    }

    /// Takes a new inventory; forgets what the old one said.
    pub fn set_inventory(&mut self, inventory: Inventory) {
        self.entries = inventory.entries;
        self.by_cgroup.clear();
        self.nobody.clear();
        self.by_netns.clear();
        self.addresses.clear();
        self.holders_of.clear();
        for entry in &self.entries {
            for &address in &entry.addresses {
                self.addresses.entry(address).or_default().push(entry.identity.clone());
                if let Identity::Workload(workload) = &entry.identity {
                    self.holders_of.entry(workload.clone()).or_default().insert(address);
                }
            }
        }
        self.generation += 1;
        self.refresh();
    }

    /// Looks where the inventory's entries are now: cgroups and namespaces come and go.
    pub fn refresh(&mut self) {
        self.missing.clear();
        self.paths = None;
        self.forget_gone_cgroups();
        self.node_addresses = node_addresses();
        for entry in &self.entries {
            if let Some(path) = &entry.cgroup {
                match self.cgroups.id(path) {
                    Some(id) => {
                        let known = KnownCgroup {
                            identity: entry.identity.clone(),
                            path: path.clone(),
                            gone: None,
                        };
                        let before = self.by_cgroup.insert(id, known);
                        if before.is_none_or(|before| before.identity != entry.identity) {
                            self.nobody.clear();
                            self.generation += 1;
                        }
                    }
                    None => self.missing.push(format!(
                        "line {}: cgroup {path} of {} does not exist (below {})",
                        entry.line,
                        name(&entry.identity),
                        self.cgroups.mount().display()
                    )),
                }
            }
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
                        name(&entry.identity)
                    )),
                }
            }
        }
    }

    fn forget_gone_cgroups(&mut self) {
        let (now, cgroups) = (Instant::now(), &self.cgroups);
        self.by_cgroup.retain(|id, known| {
            if cgroups.id(&known.path) == Some(*id) {
                return true;
            }
            now - *known.gone.get_or_insert(now) < REMEMBERED
        });
    }

    /// Finds out who a cgroup is, where that is not known: a child of an entry's cgroup belongs to the entry, another one
    /// may be a point by its processes.
    fn learn(&mut self, cgroup: u64) {
        if cgroup == 0 || cgroup == self.cgroups.root() || self.by_cgroup.contains_key(&cgroup) {
            return;
        }
        let now = Instant::now();
        if self
            .nobody
            .get(&cgroup)
            .is_some_and(|looked| now - *looked < LOOK_AGAIN)
        {
            return;
        }
        // Read once a tick at most.
        let paths = self.paths.take().unwrap_or_else(|| self.cgroups.paths());
        match paths.get(&cgroup).and_then(|path| Some((path, self.who(path)?))) {
            Some((path, identity)) => {
                tracing::info!(cgroup = path, "recognised {}", name(&identity));
                let known = KnownCgroup {
                    identity,
                    path: path.clone(),
                    gone: None,
                };
                self.by_cgroup.insert(cgroup, known);
                self.generation += 1;
            }
            None => {
                if self.nobody.len() > MOST_CGROUPS {
                    self.nobody.clear();
                }
                self.nobody.insert(cgroup, now);
            }
        }
        self.paths = Some(paths);
    }

    fn who(&self, path: &str) -> Option<Identity> {
        // The innermost entry decides.
        let entry = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry.cgroup.as_deref()?, entry)))
            .filter(|(parent, _)| {
                path.strip_prefix(parent)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|(parent, _)| parent.len());
        if let Some((_, entry)) = entry {
            return Some(entry.identity.clone());
        }
        let point = self.rules.recognise(path, &self.cgroups.processes(path))?;
        Some(Identity::Point(Arc::new(point)))
    }

    /// Who a flow belongs to, as far as is known now.
    pub fn bind(&mut self, key: &FlowKey) -> Binding {
        self.learn(key.cgroup);
        let holder = self.by_cgroup.get(&key.cgroup).map(|known| known.identity.clone());
        let place = self.by_netns.get(&key.netns).cloned();
        let peer = self.peer(key, place.as_ref());
        Binding {
            holder,
            place,
            peer,
            generation: self.generation,
        }
    }

    fn peer(&self, key: &FlowKey, place: Option<&Arc<Workload>>) -> Peer {
        let Some(address) = peer_address(key) else {
            return Peer::Unknown;
        };
        // Within a workload's namespace, its own addresses are its own, whoever else has the same elsewhere.
        if let Some(workload) = place
            && (address.is_loopback() || self.holders_of.get(workload).is_some_and(|own| own.contains(&address)))
        {
            return Peer::Workload(workload.clone());
        }
        match self.addresses.get(&address).map(Vec::as_slice) {
            Some([Identity::Workload(workload)]) => return Peer::Workload(workload.clone()),
            Some([Identity::Point(point)]) => return Peer::Point(point.clone()),
            Some(_) => return Peer::Unknown,
            None => {}
        }
        if self.node_addresses.contains(&address) || (address.is_loopback() && Some(key.netns) == self.node_netns) {
            return Peer::Node;
        }
        if is_global(address) {
            Peer::External
        } else {
            Peer::Unknown
        }
    }
}

/// How an identity is called in messages.
fn name(identity: &Identity) -> String {
    match identity {
        Identity::Workload(workload) => format!("workload {}/{}", workload.namespace, workload.name),
        Identity::Point(point) => format!("{} {}", point.kind.label(), point.name),
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
        let mut resolver = Resolver::new(Cgroups::find().expect("cgroup2"), rules);
        resolver.set_inventory(Inventory::read(file.path()).expect("valid"));
        resolver
    }

    fn peer_name(peer: &Peer) -> String {
        match peer {
            Peer::Workload(workload) => workload.name.clone(),
            Peer::Point(point) => point.name.clone(),
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
            assert_eq!(peer_name(&resolver.bind(&key(1, peer)).peer), expected, "{peer}");
        }
        let own = resolver.node_netns.expect("this process has one");
        assert_eq!(resolver.bind(&key(own, "127.0.0.1")).peer, Peer::Node);
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
        assert_eq!(peer_name(&resolver.bind(&key(7, "10.0.0.1")).peer), "a");
        assert_eq!(peer_name(&resolver.bind(&key(8, "10.0.0.1")).peer), "b");
        assert_eq!(peer_name(&resolver.bind(&key(8, "127.0.0.1")).peer), "b");
        assert_eq!(resolver.bind(&key(9, "10.0.0.1")).peer, Peer::Unknown);
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
