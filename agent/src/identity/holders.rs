//! Who holds the sockets of a cgroup: an entry of the inventory, a container of a pod, a proxy on the node itself.

mod who;

use super::{
    Entry, Identity, Workload,
    history::Millis,
    kubernetes::{LocalPod, Shared, lock},
    party::{Neighbourhood, Party},
};
use crate::{
    kernel::CgroupChange,
    node::{Cgroups, PodUid, container_of},
    points::{Point, Rules},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use who::{LOOK_AGAIN, Who, acts_for_itself};

/// A cgroup that is gone is remembered for so long: its last connections may be read only now.
const REMEMBERED: Duration = Duration::from_secs(120);

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
    fn of(pod: &LocalPod) -> Self {
        Self {
            pod: pod.uid,
            workload: pod.workload.clone(),
            addresses: pod.addresses.clone(),
            begin: pod.begin,
        }
    }
}

#[derive(Debug)]
struct Known {
    path: String,
    who: Who,
    gone: Option<Instant>,
}

/// Who holds the sockets of a cgroup.
pub struct Holder {
    /// Who.
    pub party: Party,
    /// The pod that the cgroup belongs to.
    pub pod: Option<u128>,
    /// The pod as the place of its own sockets. None for a proxy that acts for others.
    pub own: Option<Place>,
    /// More will be known.
    pub expected: bool,
}

/// All cgroups that are known.
pub struct Holders {
    cgroups: Cgroups,
    rules: Rules,
    entries: Vec<(String, u64, Identity)>,
    kubernetes: Option<Arc<Shared>>,
    known: HashMap<u64, Known>,
    /// Cgroups that are in no tree: gone before they were asked for.
    lost: HashMap<u64, Instant>,
    limit: usize,
    turned_away: u64,
    /// The tree was read in this tick.
    scanned: bool,
    first: bool,
    swept: Instant,
    /// Network namespaces that were found, to be told; and those that were told, with the cgroup that they were seen in.
    places: Vec<(u32, Place)>,
    told: HashMap<u32, (u128, u64)>,
    strange: Option<String>,
    directory_generation: u64,
    generation: u64,
}

impl Holders {
    /// Nothing known yet.
    pub fn new(cgroups: Cgroups, rules: Rules, kubernetes: Option<Arc<Shared>>, limit: usize) -> Self {
        Self {
            cgroups,
            rules,
            entries: Vec::new(),
            kubernetes,
            known: HashMap::new(),
            lost: HashMap::new(),
            limit,
            turned_away: 0,
            scanned: false,
            first: true,
            swept: Instant::now(),
            places: Vec::new(),
            told: HashMap::new(),
            strange: None,
            directory_generation: 0,
            generation: 0,
        }
    }

    /// Changes whenever somebody new is known.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Cgroups that are remembered, how many there may be, and how many found no place.
    pub fn sizes(&self) -> (usize, usize, u64) {
        (self.known.len(), self.limit, self.turned_away)
    }

    /// A cgroup that seems to be a pod's, but is laid out in a way that is not known.
    pub fn strange(&self) -> Option<&str> {
        self.strange.as_deref()
    }

    /// The points that have not gone.
    pub fn points(&self) -> impl Iterator<Item = &Arc<Point>> {
        self.point_cgroups().map(|(_, _, point)| point)
    }

    /// The cgroups of points that have not gone: id, path, whose.
    pub fn point_cgroups(&self) -> impl Iterator<Item = (u64, &str, &Arc<Point>)> {
        let here = self.known.iter().filter(|(_, known)| known.gone.is_none());
        here.filter_map(|(id, known)| Some((*id, known.path.as_str(), known.who.point()?)))
    }

    /// The path of a cgroup that is known.
    pub fn path(&self, cgroup: u64) -> Option<&str> {
        self.known.get(&cgroup).map(|known| known.path.as_str())
    }

    /// Who a cgroup is, as far as is known without asking.
    pub fn known_party(&self, cgroup: u64) -> Option<Party> {
        match &self.known.get(&cgroup)?.who {
            Who::Known(identity) => Some(identity.clone().into()),
            Who::Container(named) => Some(named.identity.clone().into()),
            Who::Node(_) => Some(Party::Node),
            Who::NotAsked | Who::Expected(_) | Who::Nobody(_) => None,
        }
    }

    /// The tree of cgroups.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Network namespaces of pods that were found since the last time.
    pub fn take_places(&mut self) -> Vec<(u32, Place)> {
        std::mem::take(&mut self.places)
    }

    /// The network namespaces of pods that live, as far as they were found.
    pub fn neighbourhoods(&self) -> Vec<(u32, Neighbourhood)> {
        let Some(shared) = &self.kubernetes else {
            return Vec::new();
        };
        let directory = lock(&shared.directory);
        let mut found = Vec::new();
        for (netns, (pod, cgroup)) in &self.told {
            let lives = self.known.get(cgroup).is_some_and(|known| known.gone.is_none());
            if let Some(pod) = directory.local(PodUid(*pod)).filter(|pod| lives && pod.point.is_none()) {
                let neighbourhood = Neighbourhood {
                    workload: pod.workload.clone(),
                    waypoints: directory.waypoints_of(pod).into(),
                };
                found.push((*netns, neighbourhood));
            }
        }
        found
    }

    /// Takes the entries of a new inventory; forgets what the old one said.
    pub fn set_entries(&mut self, entries: &[Entry]) {
        let with_cgroup = entries
            .iter()
            .filter_map(|entry| Some((entry.cgroup.clone()?, entry.line, entry.identity.clone())));
        self.entries = with_cgroup.collect();
        for known in self.known.values_mut() {
            known.who = Who::NotAsked;
        }
        self.generation += 1;
    }

    /// Takes in that a cgroup came or went.
    pub fn change(&mut self, change: &CgroupChange<'_>) {
        match *change {
            CgroupChange::Made(id, Some(path)) => self.insert(id, path.to_owned()),
            // Too long to be told: it is looked for when it is asked for.
            CgroupChange::Made(_, None) => {}
            CgroupChange::Gone(id) => {
                if let Some(known) = self.known.get_mut(&id) {
                    known.gone.get_or_insert_with(Instant::now);
                }
            }
        }
    }

    fn insert(&mut self, id: u64, path: String) {
        if self.known.len() >= self.limit && !self.known.contains_key(&id) {
            self.make_room();
            if self.known.len() >= self.limit {
                self.turned_away += 1;
                return;
            }
        }
        self.lost.remove(&id);
        self.known.entry(id).or_insert(Known {
            path,
            who: Who::NotAsked,
            gone: None,
        });
    }

    /// Those that are gone, or are nobody's, are forgotten first.
    fn make_room(&mut self) {
        self.known.retain(|_, known| {
            known.gone.is_none() && !matches!(known.who, Who::Nobody(_) | Who::Node(_) | Who::NotAsked)
        });
    }

    /// Looks what has changed: where the entries are, which cgroups have gone, which pods have become known. `told` when the
    /// kernel has told of all cgroups that came and went. Entries without a cgroup are added to `missing`.
    pub fn refresh(&mut self, now: Instant, told: bool, missing: &mut Vec<String>) {
        // Also when the kernel tells, once in a while, as it may have had no room for an event.
        if !told || now.duration_since(self.swept) > LOOK_AGAIN {
            self.swept = now;
            for (id, known) in &mut self.known {
                if known.gone.is_none() && self.cgroups.id(&known.path) != Some(*id) {
                    known.gone = Some(now);
                }
            }
        }
        self.known
            .retain(|_, known| known.gone.is_none_or(|gone| now.duration_since(gone) < REMEMBERED));
        self.lost.retain(|_, looked| now.duration_since(*looked) < LOOK_AGAIN);
        let known = &self.known;
        self.told.retain(|_, (_, cgroup)| known.contains_key(cgroup));
        self.scanned = false;
        if self.kubernetes.is_some() && (self.first || !told) {
            self.scan();
        }
        self.first = false;
        self.find_entries(missing);
        self.ask_for_pods();
    }

    fn find_entries(&mut self, missing: &mut Vec<String>) {
        let mut new = false;
        for (path, line, identity) in &self.entries {
            match self.cgroups.id(path) {
                Some(id) => {
                    let known = self.known.entry(id).or_insert_with(|| Known {
                        path: path.clone(),
                        who: Who::NotAsked,
                        gone: None,
                    });
                    if !matches!(&known.who, Who::Known(known) if known == identity) {
                        known.who = Who::Known(identity.clone());
                        new = true;
                    }
                }
                None => missing.push(format!(
                    "line {line}: cgroup {path} of {identity} does not exist (below {})",
                    self.cgroups.mount().display()
                )),
            }
        }
        if new {
            // Cgroups below it belong to it, too.
            self.lost.clear();
            for known in self.known.values_mut() {
                if matches!(known.who, Who::Nobody(_) | Who::Node(_)) {
                    known.who = Who::NotAsked;
                }
            }
            self.generation += 1;
        }
    }

    /// Takes in what has become known of pods since the last time.
    pub fn catch_up(&mut self) {
        let Some(shared) = &self.kubernetes else { return };
        let generation = lock(&shared.directory).generation();
        if generation != self.directory_generation {
            self.ask_for_pods();
        }
    }

    /// Containers of pods are asked for before any flow of theirs comes: a point without traffic is to be seen, and while a
    /// container lives its processes show its network namespace.
    fn ask_for_pods(&mut self) {
        let Some(shared) = &self.kubernetes else { return };
        let directory = lock(&shared.directory);
        let changed =
            std::mem::replace(&mut self.directory_generation, directory.generation()) != self.directory_generation;
        // Asking means to look at processes, so only those are asked for of whose pods there are news.
        let news = |path: &str, before: Option<&Arc<LocalPod>>| {
            let now = container_of(path).and_then(|container| directory.local(container.pod));
            changed && now.map(Arc::as_ptr) != before.map(Arc::as_ptr)
        };
        let ids: Vec<u64> = self
            .known
            .iter()
            .filter(|(_, known)| match &known.who {
                // The pod's own cgroup holds no sockets.
                Who::NotAsked => container_of(&known.path).is_some_and(|container| container.id.is_some()),
                Who::Expected(pod) => news(&known.path, pod.as_ref()),
                Who::Container(named) => news(&known.path, Some(&named.pod)),
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        drop(directory);
        for id in ids {
            self.ask(id);
        }
    }

    /// Reads the whole tree, once a tick at most.
    fn scan(&mut self) {
        self.scanned = true;
        for (id, path) in self.cgroups.paths() {
            if !self.known.contains_key(&id) {
                self.insert(id, path);
            }
        }
    }

    /// Who holds the sockets of a cgroup that are in this network namespace.
    pub fn holder(&mut self, cgroup: u64, netns: u32) -> Holder {
        let nobody = Holder {
            party: Party::Unknown,
            pod: None,
            own: None,
            expected: false,
        };
        if cgroup == 0 || cgroup == self.cgroups.root() {
            // What nobody put anywhere is the node's own.
            let party = if self.kubernetes.is_some() && cgroup != 0 {
                Party::Node
            } else {
                Party::Unknown
            };
            return Holder { party, ..nobody };
        }
        self.learn(cgroup);
        let Some(known) = self.known.get(&cgroup) else {
            return nobody;
        };
        match &known.who {
            Who::Known(identity) => Holder {
                party: identity.clone().into(),
                ..nobody
            },
            Who::Container(named) => {
                let holder = Holder {
                    party: named.identity.clone().into(),
                    pod: Some(named.pod.uid),
                    own: acts_for_itself(&named.identity).then(|| Place::of(&named.pod)),
                    expected: false,
                };
                if named.stays_at_home() {
                    let pod = named.pod.clone();
                    self.found_place(cgroup, netns, &pod);
                }
                holder
            }
            Who::Expected(pod) => Holder {
                own: pod.as_deref().filter(|pod| pod.point.is_none()).map(Place::of),
                pod: pod.as_deref().map(|pod| pod.uid),
                expected: true,
                ..nobody
            },
            Who::Node(_) => Holder {
                party: Party::Node,
                ..nobody
            },
            Who::NotAsked | Who::Nobody(_) => nobody,
        }
    }

    /// A socket or a process of the pod is in this namespace.
    fn found_place(&mut self, cgroup: u64, netns: u32, pod: &LocalPod) {
        if let Some((known, by)) = self.told.get(&netns) {
            // A pod that enters another's namespace does not become its owner while the other one lives.
            let lives = self.known.get(by).is_some_and(|known| known.gone.is_none());
            if *known == pod.uid || lives {
                return;
            }
        }
        self.told.insert(netns, (pod.uid, cgroup));
        self.places.push((netns, Place::of(pod)));
        self.generation += 1;
    }

    /// Finds out who a cgroup is, where that is not known, or where it may have changed.
    fn learn(&mut self, cgroup: u64) {
        let now = Instant::now();
        match self.known.get(&cgroup) {
            None => {
                if self.lost.contains_key(&cgroup) || self.scanned {
                    return;
                }
                self.scan();
                if self.known.contains_key(&cgroup) {
                    self.ask(cgroup);
                } else if self.lost.len() < self.limit {
                    self.lost.insert(cgroup, now);
                }
            }
            Some(known) => {
                let ask = match &known.who {
                    Who::NotAsked => true,
                    Who::Nobody(looked) | Who::Node(looked) => now.duration_since(*looked) > LOOK_AGAIN,
                    Who::Container(named) => !named.settled && now.duration_since(named.since) > LOOK_AGAIN,
                    // Asked for when there are news of its pod.
                    Who::Known(_) | Who::Expected(_) => false,
                };
                if ask {
                    self.ask(cgroup);
                }
            }
        }
    }

    fn ask(&mut self, cgroup: u64) {
        let Some(known) = self.known.get(&cgroup) else { return };
        let (path, gone) = (known.path.clone(), known.gone.is_some());
        let before = match &known.who {
            Who::Container(named) => Some(named.clone()),
            _ => None,
        };
        let who = self.who(&path, gone, before.as_ref());
        let found = match &who {
            Who::Known(identity) => Some(identity),
            Who::Container(named) => Some(&named.identity),
            _ => None,
        };
        if let Some(identity) = found
            && before.is_none_or(|before| before.identity != *identity)
        {
            if matches!(identity, Identity::Point(_)) {
                tracing::info!(cgroup = path, "recognised {identity}");
            }
            self.generation += 1;
            if let Who::Container(named) = &who
                && named.stays_at_home()
                && !gone
                && let Some(netns) = self.cgroups.netns(&path)
            {
                self.found_place(cgroup, netns, &named.pod.clone());
            }
        }
        if let Some(known) = self.known.get_mut(&cgroup) {
            known.who = who;
        }
    }
}
