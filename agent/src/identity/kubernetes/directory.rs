//! What the cluster's objects tell, indexed for lookup: pods by uid, identities by address.
//!
//! Pods of this node are kept in full, since their containers must be told apart. Of other pods only the identity and the addresses
//! are kept; identities and labels that many pods share are stored once.

mod nodes;
mod services;

use super::{
    duty::duty_of,
    istio::trust_domain_of_mesh_config,
    local_pod::LocalPod,
    meshes::{Meshes, is_about_a_mesh},
    objects::{ConfigMap, Meta, Namespace, Node, Pod, Service},
    pod::{addresses_of, begin_of, containers_of, end_of, facts_of, is_finished, key_of, static_uid, time},
    principal::principal_of,
    source::Source,
    status::SourceStatus,
};
use crate::{
    clock::Millis,
    identity::{
        Identity, Workload,
        history::{End, Held, History},
    },
    label::LabelCondition,
    node::PodUid,
    points::{Kind, PodFacts, Point, Rules},
};
use nodes::Nodes;
use schemars::JsonSchema;
use serde::Serialize;
use services::{Group, Services};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// How long deleted objects are remembered: an address's former holders, this node's former pods. Far longer than a flow waits for
/// its identity.
pub const REMEMBERED: Millis = 300_000;

/// Former container ids that are remembered per pod: a container in a crash loop gets a new one each time.
const FORMER_CONTAINERS: usize = 100;

/// What is kept of every pod.
#[derive(Debug)]
struct Record {
    source: Source,
    group: Arc<Group>,
    /// The point that the pod is, with its instance.
    point: Option<Arc<Point>>,
    addresses: Box<[IpAddr]>,
}

impl Record {
    fn identity(&self) -> Identity {
        match &self.point {
            Some(point) => Identity::Point(point.clone()),
            None => self.group.identity.clone(),
        }
    }
}

/// How a directory is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The rules that points are recognised by.
    pub rules: Rules,
    /// Settings of the meshes in this cluster.
    pub meshes: Meshes,
    /// Labels of nodes that are to have no agent.
    pub uncovered: Vec<LabelCondition>,
    /// The upper bound for pods, and for objects of each other kind.
    pub pods: usize,
    /// Answers about a time are final once this much time has passed.
    pub settle: Millis,
}

/// What is known of the cluster.
#[derive(Debug)]
pub struct Directory {
    setup: Setup,
    generation: u64,
    records: HashMap<u128, Record>,
    /// How many of the pods run on this node.
    node_pods: usize,
    local: HashMap<PodUid, Arc<LocalPod>>,
    addresses: History<IpAddr, Identity>,
    namespaces: HashMap<u128, Meta>,
    namespace_keys: HashMap<String, u128>,
    services: Services,
    /// Kuma's zone egresses among the pods.
    egresses: HashMap<u128, Arc<Point>>,
    nodes: Nodes,
    workloads: HashSet<Arc<Workload>>,
    rejected: u64,
    late: u64,
    trust_domain_is_given: bool,
    /// The config map has changed, so all principals must be derived again.
    relist_pods: bool,
    statuses: Vec<SourceStatus>,
}

/// How full the directory is.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct Sizes {
    /// Number of known pods.
    pub pods: usize,
    /// Upper bound for known pods.
    pub pods_limit: usize,
    /// Pods of this node, which are kept in full.
    pub local_pods: usize,
    /// Addresses with a holder, current or recent.
    pub addresses: usize,
    /// Number of known workloads.
    pub workloads: usize,
    /// Pods and other objects that were rejected because the limit was reached.
    pub turned_away: u64,
    /// Addresses whose reassignment was reported too late.
    pub late: u64,
}

impl Directory {
    /// A directory without objects; `statuses` are the initial states of its lists.
    pub fn new(setup: Setup, statuses: Vec<SourceStatus>) -> Self {
        Self {
            trust_domain_is_given: setup.meshes.trust_domain.is_some(),
            setup,
            generation: 0,
            records: HashMap::new(),
            node_pods: 0,
            local: HashMap::new(),
            addresses: History::default(),
            namespaces: HashMap::new(),
            namespace_keys: HashMap::new(),
            services: Services::default(),
            egresses: HashMap::new(),
            nodes: Nodes::default(),
            workloads: HashSet::new(),
            rejected: 0,
            late: 0,
            relist_pods: false,
            statuses,
        }
    }

    /// Changes whenever an answer may have changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The state of each list.
    pub fn statuses(&self) -> &[SourceStatus] {
        &self.statuses
    }

    /// The state of one list.
    pub fn status_mut(&mut self, source: Source) -> Option<&mut SourceStatus> {
        self.statuses.iter_mut().find(|status| status.source == source)
    }

    /// How full the directory is.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            pods: self.records.len(),
            pods_limit: self.setup.pods,
            local_pods: self.local.len(),
            addresses: self.addresses.len(),
            workloads: self.workloads.len() + self.services.by_themselves(),
            turned_away: self.rejected,
            late: self.late,
        }
    }

    /// Whether pods must be listed again; resets the flag.
    pub fn take_relist_pods(&mut self) -> bool {
        std::mem::take(&mut self.relist_pods)
    }

    /// A pod of this node, by the uid in its cgroup.
    pub fn local(&self, uid: PodUid) -> Option<&Arc<LocalPod>> {
        self.local.get(&uid)
    }

    /// The point that a container is, according to its pod and its processes.
    pub fn recognise(&self, pod: &LocalPod, container: &str, processes: &[crate::points::Process]) -> Option<Point> {
        self.setup.rules.container(&pod.facts, container, processes)
    }

    /// Who held an address from `from` to `to`.
    pub fn address(&self, address: IpAddr, from: Millis, to: Millis) -> Held<Identity> {
        match self.addresses.at(&address, from, to) {
            Held::Nobody => {}
            found => return found,
        }
        self.services.at(address).map_or(Held::Nobody, Held::One)
    }

    /// The zone egress of the cluster: one of its instances.
    pub fn zone_egress(&self) -> Option<&Arc<Point>> {
        self.egresses.values().min()
    }

    /// Whether an address is a node's.
    pub fn is_node(&self, address: IpAddr) -> bool {
        self.nodes.have(address)
    }

    /// Adds or updates a pod. Returns its key.
    pub fn apply_pod(&mut self, source: Source, pod: &Pod, now: Millis) -> u128 {
        let key = key_of(&pod.metadata);
        let known = self.records.get(&key);
        // Two lists have the pods of this node and all others. A pod that is scheduled moves from one to the other, and the older
        // update may arrive later.
        if source == Source::ClusterPods && known.is_some_and(|known| known.source == Source::NodePods) {
            return key;
        }
        // Pods of this node are few, and matter most.
        let known = known.is_some() || source == Source::NodePods;
        if self.is_full(self.records.len(), known) {
            return key;
        }
        let (facts, workload) = self.facts_and_workload(pod);
        let point = self.setup.rules.pod(&facts).map(Arc::new);
        let finished = is_finished(pod);
        let addresses = if finished { Vec::new() } else { addresses_of(pod) };
        let record = Record {
            source,
            group: self.services.group(&facts, &workload, point.as_deref()),
            point: point.clone(),
            addresses: addresses.clone().into_boxed_slice(),
        };
        match &point {
            Some(point) if point.kind == Kind::ZoneEgress && !finished => self.egresses.insert(key, point.clone()),
            _ => self.egresses.remove(&key),
        };
        let end = if finished { end_of(pod, now) } else { End::By(now) };
        let begin = begin_of(pod, now);
        self.replace(key, record, end, begin, now);
        if source == Source::NodePods {
            let local = LocalPod {
                uid: key,
                facts,
                workload,
                point,
                host_network: pod.spec.host_network,
                addresses: addresses.into(),
                begin,
                containers: containers_of(pod),
                deletion: pod.metadata.deletion_timestamp.as_deref().and_then(time),
                gone: None,
            };
            self.keep_in_full(local, static_uid(&pod.metadata));
        }
        self.generation += 1;
        key
    }

    /// The facts that rules match on, and the workload that a pod belongs to.
    fn facts_and_workload(&mut self, pod: &Pod) -> (PodFacts, Arc<Workload>) {
        let (facts, kind) = facts_of(pod);
        let namespace = self.namespace(&facts.namespace);
        let principal = principal_of(pod, namespace, &self.setup.meshes, || {
            self.services.first_selecting(&facts.namespace, &facts.labels)
        });
        let workload = Workload {
            namespace: facts.namespace.clone(),
            kind,
            name: facts.workload.clone(),
            service_account: pod.spec.service_account().to_owned(),
            principal,
            duty: duty_of(|name| facts.labels.get(name).map(String::as_str)),
        };
        let workload = intern(&mut self.workloads, workload);
        (facts, workload)
    }

    /// Replaces the record of a pod: addresses it has lost were held until `end`, addresses it has now are held since `begin`.
    fn replace(&mut self, key: u128, record: Record, end: End, begin: Millis, now: Millis) {
        let (identity, addresses) = (record.identity(), record.addresses.clone());
        self.node_pods += usize::from(record.source == Source::NodePods);
        if let Some(before) = self.records.insert(key, record) {
            self.node_pods -= usize::from(before.source == Source::NodePods);
            for address in before.addresses.iter().filter(|address| !addresses.contains(address)) {
                self.addresses.release(address, key, end);
            }
            self.services.drop_group(&before.group);
        }
        for address in &addresses {
            if self.addresses.spoilt(address, key, begin, now - self.setup.settle) {
                self.late += 1;
            }
            self.addresses.hold(address, key, identity.clone(), begin);
        }
    }

    /// Keeps a pod of this node in full, with what must be remembered of its former state. The cgroup of a static pod has a uid of
    /// its own.
    fn keep_in_full(&mut self, mut local: LocalPod, static_uid: Option<PodUid>) {
        let uid = PodUid(local.uid);
        let most = local.containers.len() + FORMER_CONTAINERS;
        if let Some(before) = self.local.get(&uid) {
            // A container's former ids are dropped from the status while its last connections are still to be read.
            for (id, name) in &before.containers {
                if local.containers.len() >= most {
                    break;
                }
                local.containers.entry(*id).or_insert_with(|| name.clone());
            }
            local.begin = before.begin.min(local.begin);
        }
        let local = Arc::new(local);
        if let Some(uid) = static_uid {
            self.local.insert(uid, local.clone());
        }
        self.local.insert(uid, local);
    }

    /// Deletes a pod: `pod` is its last state, when the API server sent it.
    pub fn delete_pod(&mut self, source: Source, key: u128, pod: Option<&Pod>, now: Millis) {
        if self.records.get(&key).is_none_or(|record| record.source != source) {
            return;
        }
        let end = pod.map_or(End::By(now), |pod| end_of(pod, now));
        self.egresses.remove(&key);
        if let Some(record) = self.records.remove(&key) {
            self.node_pods -= usize::from(source == Source::NodePods);
            for address in &record.addresses {
                self.addresses.release(address, key, end);
            }
            self.services.drop_group(&record.group);
        }
        // Its last connections may be read only later.
        for local in self.local.values_mut().filter(|local| local.uid == key) {
            Arc::make_mut(local).gone = Some(now);
        }
        self.generation += 1;
    }

    /// Whether a new object must be rejected. Each kind may have as many objects as there may be pods.
    fn is_full(&mut self, objects: usize, known: bool) -> bool {
        let full = !known && objects >= self.setup.pods;
        self.rejected += u64::from(full);
        full
    }

    /// Adds or updates a namespace.
    pub fn apply_namespace(&mut self, namespace: Namespace) -> u128 {
        let key = key_of(&namespace.metadata);
        if self.is_full(self.namespaces.len(), self.namespaces.contains_key(&key)) {
            return key;
        }
        let mut meta = namespace.metadata;
        // Others may be long, such as the configuration that was last applied.
        meta.labels.retain(|name, _| is_about_a_mesh(name));
        meta.annotations.retain(|name, _| is_about_a_mesh(name));
        meta.owner_references = Vec::new();
        self.namespace_keys.insert(meta.name.clone(), key);
        self.namespaces.insert(key, meta);
        key
    }

    fn namespace(&self, name: &str) -> Option<&Meta> {
        self.namespaces.get(self.namespace_keys.get(name)?)
    }

    /// Adds or updates a service.
    pub fn apply_service(&mut self, service: &Service) -> u128 {
        let key = key_of(&service.metadata);
        if self.is_full(self.services.len(), self.services.contains(key)) {
            return key;
        }
        self.delete_service(key);
        self.services.add(key, service);
        self.generation += 1;
        key
    }

    /// Deletes the service with this key.
    pub fn delete_service(&mut self, key: u128) {
        self.generation += u64::from(self.services.delete(key));
    }

    /// The waypoints, one of which connections to a pod should pass: those that the pod and its services name; if these name none,
    /// that of the namespace.
    pub fn waypoints_of(&self, pod: &LocalPod) -> Vec<String> {
        self.services
            .waypoints_of(&pod.facts, self.namespace(&pod.facts.namespace))
    }

    /// Adds or updates a node.
    pub fn apply_node(&mut self, node: &Node) -> u128 {
        let key = key_of(&node.metadata);
        if self.is_full(self.nodes.len(), self.nodes.contains(key)) {
            return key;
        }
        let is_covered = !(self.setup.uncovered.iter()).any(|label| label.holds(&node.metadata.labels));
        self.generation += u64::from(self.nodes.apply(key, node, is_covered));
        key
    }

    /// Reads the mesh's config map.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn apply_config_map(&mut self, map: &ConfigMap) -> Result<u128, String> {
        if let Some(mesh) = map.data.get("mesh") {
            let domain = trust_domain_of_mesh_config(mesh)?;
            // The user's setting takes precedence.
            if domain.is_some() && domain != self.setup.meshes.trust_domain && !self.trust_domain_is_given {
                tracing::info!(trust_domain = domain, "the mesh's config map names the trust domain");
                self.setup.meshes.trust_domain = domain;
                self.relist_pods = !self.records.is_empty();
            }
        }
        Ok(key_of(&map.metadata))
    }

    /// Deletes an object of any kind.
    pub fn delete(&mut self, source: Source, key: u128, now: Millis) {
        match source {
            Source::NodePods | Source::ClusterPods => self.delete_pod(source, key, None, now),
            Source::Services => self.delete_service(key),
            Source::Namespaces => {
                if let Some(meta) = self.namespaces.remove(&key)
                    && self.namespace_keys.get(&meta.name) == Some(&key)
                {
                    self.namespace_keys.remove(&meta.name);
                }
            }
            Source::Nodes => {
                self.generation += u64::from(self.nodes.remove(key));
            }
            // Its settings stay in use until another config map replaces them.
            Source::MeshConfig => {}
        }
    }

    /// After a complete list: deletes what was not in it.
    pub fn retain(&mut self, source: Source, listed: &HashSet<u128>, now: Millis) {
        let known: Vec<u128> = match source {
            Source::NodePods | Source::ClusterPods => self
                .records
                .iter()
                .filter(|(_, record)| record.source == source)
                .map(|(key, _)| *key)
                .collect(),
            Source::Services => self.services.keys().collect(),
            Source::Namespaces => self.namespaces.keys().copied().collect(),
            Source::Nodes => self.nodes.keys().collect(),
            Source::MeshConfig => Vec::new(),
        };
        for key in known.into_iter().filter(|key| !listed.contains(key)) {
            self.delete(source, key, now);
        }
        self.shrink();
    }

    /// Number of objects of a source.
    pub fn count(&self, source: Source) -> usize {
        match source {
            Source::NodePods => self.node_pods,
            Source::ClusterPods => self.records.len() - self.node_pods,
            Source::Services => self.services.len(),
            Source::Namespaces => self.namespaces.len(),
            Source::Nodes => self.nodes.len(),
            Source::MeshConfig => usize::from(self.setup.meshes.trust_domain.is_some()),
        }
    }

    /// Number of nodes that are to have an agent.
    pub fn covered_nodes(&self) -> usize {
        self.nodes.covered()
    }

    /// Forgets what was deleted long ago, and what is no longer referenced.
    pub fn tidy(&mut self, now: Millis) {
        let before = now - REMEMBERED;
        self.addresses.forget(before);
        self.local
            .retain(|_, local| local.gone.is_none_or(|gone| gone >= before));
        self.services.tidy();
        self.workloads.retain(|workload| Arc::strong_count(workload) > 1);
    }

    fn shrink(&mut self) {
        self.records.shrink_to_fit();
        self.addresses.shrink();
        self.services.shrink();
        self.workloads.shrink_to_fit();
    }
}

fn intern(workloads: &mut HashSet<Arc<Workload>>, workload: Workload) -> Arc<Workload> {
    // Its labels may have changed since: the duty that they tell is that of the newest pod.
    if let Some(known) = workloads.get(&workload).filter(|known| known.duty == workload.duty) {
        return known.clone();
    }
    let new = Arc::new(workload);
    workloads.replace(new.clone());
    new
}

#[cfg(test)]
mod tests;
