//! Kubernetes objects, as far as attribution looks at them.
//!
//! Everything is optional: an object that lacks what it should have is still an object. What has the wrong type makes the
//! object unreadable; it is then counted and left out, and the others are read.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Names and values.
pub type Map = BTreeMap<String, String>;

/// `null` is as good as absent.
fn nullable<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub struct $name {
                $($(#[$field_doc])* #[serde(deserialize_with = "nullable")] pub $field: $type,)*
            }
        )*
    };
}

objects! {
    /// `metadata`.
    Meta {
        /// Its name.
        name: String,
        /// Its namespace; empty for what has none.
        namespace: String,
        /// Its uid.
        uid: String,
        /// Labels.
        labels: Map,
        /// Annotations.
        annotations: Map,
        /// Who made it.
        owner_references: Vec<Owner>,
        /// When it was made.
        creation_timestamp: Option<String>,
    }
    /// As little of an object as it takes to say which one it is.
    Reference {
        /// Metadata.
        metadata: ReferenceMeta,
    }
    /// `metadata`, without what is often wrong.
    ReferenceMeta {
        /// Its name.
        name: String,
        /// Its namespace; empty for what has none.
        namespace: String,
        /// Its uid.
        uid: String,
        /// Its version.
        resource_version: String,
    }
    /// `metadata.ownerReferences`.
    Owner {
        /// `apps/v1`.
        api_version: String,
        /// `ReplicaSet`.
        kind: String,
        /// Its name.
        name: String,
        /// Whether it is the one that manages the object.
        controller: bool,
    }
    /// A pod.
    Pod {
        /// Metadata.
        metadata: Meta,
        /// What it should be.
        spec: PodSpec,
        /// What it is.
        status: PodStatus,
    }
    /// `spec` of a pod.
    PodSpec {
        /// Its node; empty until it has one.
        node_name: String,
        /// Its service account.
        service_account_name: String,
        /// Whether it uses the node's own network.
        host_network: bool,
        /// Containers.
        containers: Vec<ContainerSpec>,
        /// Those that start before them; native sidecars are among them.
        init_containers: Vec<ContainerSpec>,
    }
    /// A container that should be.
    ContainerSpec {
        /// Its name.
        name: String,
        /// What it runs, when that is not left to the image.
        command: Vec<String>,
        /// Arguments.
        args: Vec<String>,
        /// Its environment.
        env: Vec<Variable>,
    }
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
        /// Its value; empty when it comes from elsewhere.
        value: String,
    }
    /// `status` of a pod.
    PodStatus {
        /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
        phase: String,
        /// Its first address.
        #[serde(rename = "podIP")]
        pod_ip: String,
        /// All its addresses.
        #[serde(rename = "podIPs")]
        pod_ips: Vec<PodIp>,
        /// When the kubelet took it.
        start_time: Option<String>,
        /// Conditions.
        conditions: Vec<Condition>,
        /// Containers.
        container_statuses: Vec<ContainerStatus>,
        /// Init containers.
        init_container_statuses: Vec<ContainerStatus>,
        /// Containers for debugging.
        ephemeral_container_statuses: Vec<ContainerStatus>,
    }
    /// An address of a pod.
    PodIp {
        /// The address.
        ip: String,
    }
    /// A condition of a pod.
    Condition {
        /// Which.
        #[serde(rename = "type")]
        kind: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        /// Since when.
        last_transition_time: Option<String>,
    }
    /// A container that is.
    ContainerStatus {
        /// Its name.
        name: String,
        /// Its id, with the runtime before it.
        #[serde(rename = "containerID")]
        container_id: String,
        /// What it does now.
        state: ContainerState,
        /// What it did before it was started again.
        last_state: ContainerState,
    }
    /// `state` of a container.
    ContainerState {
        /// It has ended.
        terminated: Option<Terminated>,
    }
    /// A container that has ended.
    Terminated {
        /// When.
        finished_at: Option<String>,
        /// Its id, with the runtime before it.
        #[serde(rename = "containerID")]
        container_id: String,
    }
    /// A service.
    Service {
        /// Metadata.
        metadata: Meta,
        /// What it should be.
        spec: ServiceSpec,
        /// What it is.
        status: ServiceStatus,
    }
    /// `spec` of a service.
    ServiceSpec {
        /// Labels of the pods behind it; none when somebody else says who they are.
        selector: Map,
        /// Its address.
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        /// Its addresses.
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<String>,
        /// Addresses from outside that lead to it.
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
        /// Ports.
        ports: Vec<ServicePort>,
    }
    /// A port of a service.
    ServicePort {
        /// Its number.
        port: u16,
    }
    /// `status` of a service.
    ServiceStatus {
        /// Its load balancer.
        load_balancer: LoadBalancer,
    }
    /// A load balancer.
    LoadBalancer {
        /// Where it is reached.
        ingress: Vec<PodIp>,
    }
    /// A node.
    Node {
        /// Metadata.
        metadata: Meta,
        /// What it is.
        status: NodeStatus,
    }
    /// `status` of a node.
    NodeStatus {
        /// Its addresses and names.
        addresses: Vec<NodeAddress>,
    }
    /// An address of a node.
    NodeAddress {
        /// The address, or a name.
        address: String,
    }
    /// A namespace; only its labels and annotations are of interest.
    Namespace {
        /// Metadata.
        metadata: Meta,
    }
    /// A config map.
    ConfigMap {
        /// Metadata.
        metadata: Meta,
        /// What is in it.
        data: Map,
    }
}

impl Meta {
    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// An annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// The one owner that manages the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

impl PodSpec {
    /// All containers, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerSpec> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// Whether it has a container of this name.
    pub fn has(&self, container: &str) -> bool {
        self.all_containers().any(|spec| spec.name == container)
    }

    /// The value of an environment variable of a container, when it is given in the object.
    pub fn variable(&self, container: &str, name: &str) -> Option<&str> {
        self.all_containers()
            .find(|spec| spec.name == container)?
            .variable(name)
    }

    /// The service account that it runs as.
    pub fn service_account(&self) -> &str {
        match self.service_account_name.as_str() {
            "" => "default",
            name => name,
        }
    }
}

impl ContainerSpec {
    /// The value of an environment variable that is given in the object.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().find(|variable| variable.name == name)?;
        (!found.value.is_empty()).then_some(found.value.as_str())
    }
}

impl PodStatus {
    /// The status of every container.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses
            .iter()
            .chain(&self.container_statuses)
            .chain(&self.ephemeral_container_statuses)
    }
}
