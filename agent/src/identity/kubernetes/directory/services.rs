//! Services, and who is behind them. Pods with the same labels and the same identity are one group, so that finding who is
//! behind a service means to look at the groups of its namespace, and not at its pods.

use super::{Directory, LocalPod, intern};
use crate::{
    identity::{
        Identity, Workload,
        kubernetes::{
            objects::{Meta, Service},
            pod::key_of,
        },
    },
    points::{PodFacts, Point},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What pods with the same labels and the same identity share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    namespace: Arc<str>,
    labels: Box<[(Arc<str>, Arc<str>)]>,
    /// The workload, or the point without its instance.
    pub(super) identity: Identity,
}

/// A service.
#[derive(Debug)]
pub(super) struct ServiceRecord {
    pub(super) namespace: String,
    pub(super) name: String,
    selector: Vec<(String, String)>,
    pub(super) port: u16,
    /// What it says of its waypoint.
    waypoint: Choice,
    addresses: Vec<IpAddr>,
    /// Who is behind it, and the state of its namespace in which that was found.
    behind: Option<(u64, Identity)>,
}

/// What an object says of the waypoint that stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing.
    Silent,
    /// That there is to be none.
    None,
    /// Its name, with its namespace.
    Waypoint(String),
}

impl Choice {
    fn of(meta: &Meta) -> Self {
        Self::in_labels(&meta.namespace, |name| meta.label(name))
    }

    fn in_labels<'a>(namespace: &str, label: impl Fn(&str) -> Option<&'a str>) -> Self {
        match label("istio.io/use-waypoint") {
            None => Self::Silent,
            Some("none" | "") => Self::None,
            Some(name) => {
                let namespace = label("istio.io/use-waypoint-namespace").unwrap_or(namespace);
                Self::Waypoint(format!("{namespace}/{name}"))
            }
        }
    }
}

/// Pods of a namespace, by what they share.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) groups: HashSet<Arc<Group>>,
    /// Changes whenever a group comes or goes.
    version: u64,
}

impl Directory {
    /// Who is behind a service: one workload, one point, or when there are several or none, the service itself.
    pub(super) fn behind(&mut self, key: u128) -> Option<Identity> {
        let service = self.services.get(&key)?;
        let groups = self.groups.get(service.namespace.as_str());
        let version = groups.map_or(0, |groups| groups.version);
        if let Some((known, identity)) = &service.behind
            && *known == version
        {
            return Some(identity.clone());
        }
        let mut found: Option<&Identity> = None;
        let mut several = false;
        if !service.selector.is_empty() {
            for group in groups.into_iter().flat_map(|groups| &groups.groups) {
                if group.has(&service.selector) {
                    several |= found.is_some_and(|found| *found != group.identity);
                    found = Some(&group.identity);
                }
            }
        }
        let identity = match found {
            Some(identity) if !several => identity.clone(),
            _ => {
                let workload = Workload {
                    namespace: service.namespace.clone(),
                    kind: Cow::Borrowed("Service"),
                    name: service.name.clone(),
                    service_account: String::new(),
                    principal: String::new(),
                };
                Identity::Workload(intern(&mut self.workloads, workload))
            }
        };
        self.services.get_mut(&key)?.behind = Some((version, identity.clone()));
        Some(identity)
    }

    pub(super) fn group(&mut self, facts: &PodFacts, workload: &Arc<Workload>, point: Option<&Point>) -> Arc<Group> {
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
        let groups = self.groups.entry(namespace).or_default();
        if let Some(known) = groups.groups.get(&group) {
            return known.clone();
        }
        let group = Arc::new(group);
        groups.groups.insert(group.clone());
        groups.version += 1;
        group
    }

    /// Forgets a group with its last pod.
    pub(super) fn drop_group(&mut self, group: &Arc<Group>) {
        // One here, one in the set.
        if Arc::strong_count(group) == 2
            && let Some(groups) = self.groups.get_mut(&group.namespace)
        {
            groups.groups.remove(group);
            groups.version += 1;
        }
    }

    /// Takes in a service.
    pub fn apply_service(&mut self, service: &Service) -> u128 {
        let key = key_of(&service.metadata);
        if self.is_full(self.services.len(), self.services.contains_key(&key)) {
            return key;
        }
        self.delete_service(key);
        let spec = &service.spec;
        let from_outside = service.status.load_balancer.ingress.iter().map(|ingress| &ingress.ip);
        let addresses: BTreeSet<IpAddr> = spec
            .cluster_ips
            .iter()
            .chain([&spec.cluster_ip])
            .chain(&spec.external_ips)
            .chain(from_outside)
            // "None" and "" are no addresses.
            .filter_map(|text| text.parse::<IpAddr>().ok())
            .map(|address| address.to_canonical())
            .collect();
        for address in &addresses {
            self.service_addresses.insert(*address, key);
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
            waypoint: Choice::of(&service.metadata),
            addresses: addresses.into_iter().collect(),
            behind: None,
        };
        if record.waypoint != Choice::Silent {
            self.services_with_waypoints.insert(key);
        }
        self.services.insert(key, record);
        self.generation += 1;
        key
    }

    /// The waypoints through one of which a pod is to be reached: those that the pod and its services name; when these say nothing,
    /// that of the namespace (<https://istio.io/latest/docs/ambient/usage/waypoint/#useawaypoint>).
    pub fn waypoints_of(&self, pod: &LocalPod) -> Vec<String> {
        let facts = &pod.facts;
        let own = Choice::in_labels(&facts.namespace, |name| facts.labels.get(name).map(String::as_str));
        let services = (self.services_with_waypoints.iter())
            .filter_map(|key| self.services.get(key))
            .filter(|service| service.namespace == facts.namespace && service.selects(&facts.labels));
        let choices: Vec<_> = services.map(|service| service.waypoint.clone()).chain([own]).collect();
        let namespace = || {
            let key = self.namespace_keys.get(&facts.namespace)?;
            let meta = self.namespaces.get(key)?;
            Some(Choice::in_labels(&facts.namespace, |name| meta.label(name)))
        };
        let choices = if choices.iter().all(|choice| *choice == Choice::Silent) {
            namespace().into_iter().collect()
        } else {
            choices
        };
        let named: BTreeSet<String> = choices
            .into_iter()
            .filter_map(|choice| match choice {
                Choice::Waypoint(name) => Some(name),
                Choice::Silent | Choice::None => None,
            })
            .collect();
        named.into_iter().collect()
    }

    /// Takes a service out.
    pub fn delete_service(&mut self, key: u128) {
        let Some(record) = self.services.remove(&key) else {
            return;
        };
        self.services_with_waypoints.remove(&key);
        for address in &record.addresses {
            if self.service_addresses.get(address) == Some(&key) {
                self.service_addresses.remove(address);
            }
        }
        self.generation += 1;
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
    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty()
            && self
                .selector
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }
}
