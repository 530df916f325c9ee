//! Services, and the pods behind them. Pods with the same labels and the same identity form one group, so that finding what is
//! behind a service means checking the groups of its namespace, and not all its pods.

use crate::{
    identity::{
        Duty, Identity, Workload,
        kubernetes::{
            duty::duty_of,
            istio::WaypointChoice,
            objects::{Meta, Service},
        },
    },
    points::{PodFacts, Point},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, OnceLock},
};

/// The workload kind of a service that is attributed to itself.
const SERVICE: &str = "Service";

/// What pods with the same labels and the same identity share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Group {
    namespace: Arc<str>,
    labels: Box<[(Arc<str>, Arc<str>)]>,
    /// The workload, or the point without its instance.
    pub identity: Identity,
}

/// What is stored of a service.
#[derive(Debug)]
struct ServiceRecord {
    namespace: String,
    name: String,
    selector: Vec<(String, String)>,
    port: u16,
    /// The waypoint that its labels name.
    waypoint: WaypointChoice,
    /// What the workloads behind it do, where no pod tells.
    duty: Option<Duty>,
    addresses: Vec<IpAddr>,
    /// What is behind it, once it has been looked up; reset when a group of its namespace is added or removed.
    behind: OnceLock<Identity>,
}

/// The contents of a namespace: its groups of pods, and its services.
#[derive(Debug, Default)]
pub struct Groups {
    groups: HashSet<Arc<Group>>,
    services: HashSet<u128>,
    /// Set once any of its services has been looked up: only then is there anything to reset.
    is_asked: OnceLock<()>,
}

impl Groups {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.services.is_empty()
    }
}

/// All services, and the groups of pods behind them.
#[derive(Debug, Default)]
pub struct Services {
    services: HashMap<u128, ServiceRecord>,
    addresses: HashMap<IpAddr, u128>,
    with_waypoints: HashSet<u128>,
    /// Groups and services by namespace.
    pub(super) groups: HashMap<Arc<str>, Groups>,
    /// Names and values of labels, each stored once.
    pub(super) strings: HashSet<Arc<str>>,
}

impl Services {
    /// Number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether a service is known.
    pub fn contains(&self, key: u128) -> bool {
        self.services.contains_key(&key)
    }

    /// The keys of all services.
    pub fn keys(&self) -> impl Iterator<Item = u128> {
        self.services.keys().copied()
    }

    /// The identity behind the service that has an address.
    pub fn at(&self, address: IpAddr) -> Option<Identity> {
        self.behind(*self.addresses.get(&address)?)
    }

    /// Name and port of the first service, by name, that selects pods of a namespace with these labels.
    pub fn first_selecting(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<(String, u16)> {
        let all = self.services.values();
        let matching = all.filter(|service| service.namespace == namespace && service.selects(labels));
        let names = matching.map(|service| (service.name.clone(), service.port));
        names.min()
    }

    /// The identity behind a service: one workload or one point, or, when there are several or none, the service itself. Determined
    /// at the first lookup, as most services are never called from this node.
    fn behind(&self, key: u128) -> Option<Identity> {
        let service = self.services.get(&key)?;
        let groups = self.groups.get(service.namespace.as_str())?;
        let identity = service.behind.get_or_init(|| {
            groups.is_asked.get_or_init(|| ());
            groups.behind(service)
        });
        Some(identity.clone())
    }

    /// Number of looked-up services that are attributed to themselves: workloads that no pod belongs to.
    pub fn by_themselves(&self) -> usize {
        let found = self.services.values().filter_map(|service| service.behind.get());
        let is_service = |identity: &&Identity| matches!(identity, Identity::Workload(who) if who.kind == SERVICE);
        found.filter(is_service).count()
    }

    /// A group of this namespace was added or removed: what is behind its services must be determined again.
    fn forget_behind(&mut self, namespace: &str) {
        let Some(groups) = self.groups.get_mut(namespace) else {
            return;
        };
        if groups.is_asked.take().is_some() {
            for key in &groups.services {
                if let Some(service) = self.services.get_mut(key) {
                    service.behind.take();
                }
            }
        }
    }

    /// The group of a pod; a new one when no other pod shares it.
    pub fn group(&mut self, facts: &PodFacts, workload: &Arc<Workload>, point: Option<&Point>) -> Arc<Group> {
        let identity = match point {
            None => Identity::Workload(workload.clone()),
            Some(point) => Identity::Point(Arc::new(Point {
                instance: String::new(),
                ..point.clone()
            })),
        };
        let mut text = |text: &str| match self.strings.get(text) {
            Some(known) => known.clone(),
            None => {
                let new: Arc<str> = text.into();
                self.strings.insert(new.clone());
                new
            }
        };
        let namespace = text(&facts.namespace);
        let labels = facts
            .labels
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        let group = Group {
            namespace: namespace.clone(),
            labels,
            identity,
        };
        let groups = self.groups.entry(namespace.clone()).or_default();
        if let Some(known) = groups.groups.get(&group) {
            return known.clone();
        }
        let group = Arc::new(group);
        groups.groups.insert(group.clone());
        self.forget_behind(&namespace);
        group
    }

    /// Removes a group with its last pod.
    pub fn drop_group(&mut self, group: &Arc<Group>) {
        // One reference here, one in the set.
        if Arc::strong_count(group) == 2
            && let Some(groups) = self.groups.get_mut(&group.namespace)
        {
            groups.groups.remove(group);
            self.forget_behind(&group.namespace);
        }
    }

    /// Adds a service that is not known yet.
    pub fn add(&mut self, key: u128, service: &Service) {
        let (spec, addresses) = (&service.spec, addresses_of(service));
        for address in &addresses {
            self.addresses.insert(*address, key);
        }
        let record = ServiceRecord {
            namespace: service.metadata.namespace.clone(),
            name: service.metadata.name.clone(),
            selector: spec
                .selector
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            port: spec.ports.first().map_or(0, |port| port.port),
            waypoint: WaypointChoice::of(&service.metadata),
            // What it selects by are labels of its pods. One without a selector stands for a control plane elsewhere.
            duty: duty_of(|name| spec.selector.get(name).map(String::as_str))
                .or_else(|| duty_of(|name| service.metadata.label(name))),
            addresses: addresses.into_iter().collect(),
            behind: OnceLock::new(),
        };
        if record.waypoint != WaypointChoice::Silent {
            self.with_waypoints.insert(key);
        }
        let namespace = record.namespace.as_str().into();
        self.groups.entry(namespace).or_default().services.insert(key);
        self.services.insert(key, record);
    }

    /// The waypoints, one of which connections to a pod should pass: those that the pod and its services name; if these name
    /// none, that of the namespace (<https://istio.io/latest/docs/ambient/usage/waypoint/#useawaypoint>).
    pub fn waypoints_of(&self, facts: &PodFacts, namespace: Option<&Meta>) -> Vec<String> {
        let own = WaypointChoice::in_labels(&facts.namespace, |name| facts.labels.get(name).map(String::as_str));
        let services = (self.with_waypoints.iter())
            .filter_map(|key| self.services.get(key))
            .filter(|service| service.namespace == facts.namespace && service.selects(&facts.labels));
        let choices: Vec<_> = services.map(|service| service.waypoint.clone()).chain([own]).collect();
        let choices = if choices.iter().all(|choice| *choice == WaypointChoice::Silent) {
            let of = |meta: &Meta| WaypointChoice::in_labels(&facts.namespace, |name| meta.label(name));
            namespace.map(of).into_iter().collect()
        } else {
            choices
        };
        let named: BTreeSet<String> = choices
            .into_iter()
            .filter_map(|choice| match choice {
                WaypointChoice::Waypoint(name) => Some(name),
                WaypointChoice::Silent | WaypointChoice::None => None,
            })
            .collect();
        named.into_iter().collect()
    }

    /// Deletes a service; `false` when it is not known.
    pub fn delete(&mut self, key: u128) -> bool {
        let Some(record) = self.services.remove(&key) else {
            return false;
        };
        self.with_waypoints.remove(&key);
        if let Some(groups) = self.groups.get_mut(record.namespace.as_str()) {
            groups.services.remove(&key);
        }
        for address in &record.addresses {
            if self.addresses.get(address) == Some(&key) {
                self.addresses.remove(address);
            }
        }
        true
    }

    /// Removes namespaces without services and groups, and strings that no group uses.
    pub fn tidy(&mut self) {
        self.groups.retain(|_, groups| !groups.is_empty());
        self.strings.retain(|string| Arc::strong_count(string) > 1);
    }

    /// Releases memory that a long list needed.
    pub fn shrink(&mut self) {
        self.strings.shrink_to_fit();
    }
}

/// The addresses at which a service is reached.
fn addresses_of(service: &Service) -> BTreeSet<IpAddr> {
    let spec = &service.spec;
    let from_outside = service.status.load_balancer.ingress.iter().map(|ingress| &ingress.ip);
    let all = spec.cluster_ips.iter().chain([&spec.cluster_ip]);
    all.chain(&spec.external_ips)
        .chain(from_outside)
        // "None" and "" are not addresses.
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .collect()
}

impl Groups {
    fn behind(&self, service: &ServiceRecord) -> Identity {
        let mut found: Option<&Identity> = None;
        let selected = self.groups.iter().filter(|group| group.has(&service.selector));
        for group in selected.filter(|_| !service.selector.is_empty()) {
            if found.is_some_and(|found| *found != group.identity) {
                return service.itself();
            }
            found = Some(&group.identity);
        }
        found.map_or_else(|| service.itself(), Identity::clone)
    }
}

impl Group {
    fn has(&self, selector: &[(String, String)]) -> bool {
        selector.iter().all(|(name, value)| {
            self.labels
                .binary_search_by(|(known, _)| (**known).cmp(name.as_str()))
                .is_ok_and(|place| *self.labels[place].1 == **value)
        })
    }
}

impl ServiceRecord {
    /// The service as a workload, where no single identity is behind it.
    fn itself(&self) -> Identity {
        Identity::Workload(Arc::new(Workload {
            namespace: self.namespace.clone(),
            kind: Cow::Borrowed(SERVICE),
            name: self.name.clone(),
            service_account: String::new(),
            duty: self.duty,
            principal: String::new(),
        }))
    }

    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty()
            && self
                .selector
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }
}
