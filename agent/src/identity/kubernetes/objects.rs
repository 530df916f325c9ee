//! Kubernetes objects, reduced to the fields that attribution uses.
//!
//! Every field is optional: an object without a required field is still accepted. A field of the wrong type makes the object
//! unreadable; the object is then counted and skipped, and the others are read.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Labels, annotations, or the data of a config map.
pub type Map = BTreeMap<String, String>;

/// Treats `null` as absent.
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
    /// `metadata` of an object.
    Meta {
        /// Unique within its namespace and kind.
        name: String,
        /// The object's namespace; empty for cluster-scoped objects.
        namespace: String,
        /// Set by the API server; never reused.
        uid: String,
        /// Identifying attributes, which selectors match.
        labels: Map,
        /// Other attributes, which selectors do not match.
        annotations: Map,
        /// The objects that created or manage this one.
        owner_references: Vec<Owner>,
        /// When the object was created (RFC 3339).
        creation_timestamp: Option<String>,
        /// Set when its deletion was requested: when its grace ends (RFC 3339).
        deletion_timestamp: Option<String>,
    }
    /// Just the fields that identify an object.
    Reference {
        /// Its metadata, reduced likewise.
        metadata: ReferenceMeta,
    }
    /// `metadata`, without the fields that are often malformed.
    ReferenceMeta {
        /// Unique within its namespace and kind.
        name: String,
        /// The object's namespace; empty for cluster-scoped objects.
        namespace: String,
        /// Set by the API server; never reused.
        uid: String,
        /// The version from which a watch can continue.
        resource_version: String,
    }
    /// An entry of `metadata.ownerReferences`.
    Owner {
        /// The owner's API group and version, such as `apps/v1`.
        api_version: String,
        /// The owner's kind, such as `ReplicaSet`.
        kind: String,
        /// The owner's name, in the same namespace.
        name: String,
        /// Whether this owner is the managing controller.
        controller: bool,
    }
    /// A pod, with the fields that attribution uses.
    Pod {
        /// Name, uid, labels and annotations of the pod.
        metadata: Meta,
        /// The desired state, as set by its author.
        spec: PodSpec,
        /// The state that its controllers observed.
        status: PodStatus,
    }
    /// `spec` of a pod.
    PodSpec {
        /// The node it is scheduled to; empty until then.
        node_name: String,
        /// The service account it runs as; empty stands for `default`.
        service_account_name: String,
        /// Whether it uses the host network.
        host_network: bool,
        /// The containers that start after the init containers.
        containers: Vec<ContainerSpec>,
        /// Containers that start before the regular ones, native sidecars included.
        init_containers: Vec<ContainerSpec>,
    }
    /// A container in the `spec` of a pod.
    ContainerSpec {
        /// Unique within the pod.
        name: String,
        /// The entry point, when it overrides that of the image.
        command: Vec<String>,
        /// The arguments of the entry point.
        args: Vec<String>,
        /// Environment variables that the object sets.
        env: Vec<Variable>,
    }
    /// An environment variable of a container.
    Variable {
        /// The name, unique within the container.
        name: String,
        /// The variable's value; empty when it is taken from another source.
        value: String,
    }
    /// `status` of a pod.
    PodStatus {
        /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
        phase: String,
        /// The primary IP address.
        #[serde(rename = "podIP")]
        pod_ip: String,
        /// All IP addresses, the primary one included.
        #[serde(rename = "podIPs")]
        pod_ips: Vec<PodIp>,
        /// When the kubelet accepted the pod (RFC 3339).
        start_time: Option<String>,
        /// Conditions such as `Ready`, with their times.
        conditions: Vec<Condition>,
        /// The status of each regular container.
        container_statuses: Vec<ContainerStatus>,
        /// The status of each init container.
        init_container_statuses: Vec<ContainerStatus>,
        /// The status of each ephemeral (debug) container.
        ephemeral_container_statuses: Vec<ContainerStatus>,
    }
    /// An IP address of a pod or a load balancer.
    PodIp {
        /// The IP address as text.
        ip: String,
    }
    /// A condition of a pod.
    Condition {
        /// The type of the condition, such as `Ready`.
        #[serde(rename = "type")]
        kind: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        /// When `status` last changed (RFC 3339).
        last_transition_time: Option<String>,
    }
    /// A container in the `status` of a pod.
    ContainerStatus {
        /// Unique within the pod.
        name: String,
        /// The container id, as `<runtime>://<id>`.
        #[serde(rename = "containerID")]
        container_id: String,
        /// The container's current state.
        state: ContainerState,
        /// The state before the last restart.
        last_state: ContainerState,
    }
    /// `state` of a container.
    ContainerState {
        /// Present when the container has terminated.
        terminated: Option<Terminated>,
    }
    /// The end of a container.
    Terminated {
        /// When it terminated (RFC 3339).
        finished_at: Option<String>,
        /// The container id, as `<runtime>://<id>`.
        #[serde(rename = "containerID")]
        container_id: String,
    }
    /// A service, with the fields that attribution uses.
    Service {
        /// Name, uid, labels and annotations of the service.
        metadata: Meta,
        /// The desired state, as set by its author.
        spec: ServiceSpec,
        /// The state that its controllers observed.
        status: ServiceStatus,
    }
    /// `spec` of a service.
    ServiceSpec {
        /// Labels of the pods behind it; empty when its endpoints are managed otherwise.
        selector: Map,
        /// The primary cluster IP; `"None"` for a headless service.
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        /// All cluster IPs, the primary one included.
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<String>,
        /// Further external IP addresses at which it is reached.
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
        /// The ports that it exposes.
        ports: Vec<ServicePort>,
    }
    /// A port of a service.
    ServicePort {
        /// The port number of the service.
        port: u16,
    }
    /// `status` of a service.
    ServiceStatus {
        /// The state of its load balancer.
        load_balancer: LoadBalancer,
    }
    /// `status.loadBalancer` of a service.
    LoadBalancer {
        /// The addresses at which the load balancer is reached.
        ingress: Vec<PodIp>,
    }
    /// A node, with the fields that attribution uses.
    Node {
        /// Name, uid, labels and annotations of the node.
        metadata: Meta,
        /// The state that its controllers observed.
        status: NodeStatus,
    }
    /// `status` of a node.
    NodeStatus {
        /// Its IP addresses and host names.
        addresses: Vec<NodeAddress>,
    }
    /// An address of a node.
    NodeAddress {
        /// The IP address, or the host name.
        address: String,
    }
    /// A namespace, of which only labels and annotations are used.
    Namespace {
        /// Name, uid, labels and annotations of the namespace.
        metadata: Meta,
    }
    /// A config map, such as the mesh's configuration.
    ConfigMap {
        /// Name, uid, labels and annotations of the config map.
        metadata: Meta,
        /// The contents, by key.
        data: Map,
    }
}

impl Meta {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// The owner that is the managing controller.
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

    /// The value of an environment variable of a container, when the object sets it directly.
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
    /// The value of an environment variable, when the object sets it directly.
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
