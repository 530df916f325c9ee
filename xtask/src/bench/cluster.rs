//! The objects of a large synthetic cluster.
//!
//! Each pod has a number, from which all its other properties follow.

use narrows_testbed::kubernetes::{
    ApiServer, Resource,
    manifests::{self, Pod},
};
use serde_json::json;
use std::fmt::Write as _;

/// The number of pods of a large cluster; Kubernetes itself supports up to 150,000.
pub(crate) const PODS: usize = 100_000;
const WORKLOADS: usize = 5_000;
const NAMESPACES: usize = 200;
const NODES: usize = 1_000;

/// Pods of each workload.
pub(crate) const REPLICAS: usize = PODS / WORKLOADS;

/// The default limit of a kubelet.
pub(crate) const PODS_OF_THE_NODE: usize = 110;

/// The manifests of workloads, in turns: Deployments with and without a mesh, and some StatefulSets.
const MANIFESTS: [&str; 10] = [
    "istio-sidecar",
    "istio-ambient-app",
    "deployment",
    "istio-sidecar",
    "istio-ambient-app",
    "deployment",
    "istio-sidecar",
    "istio-ambient-app",
    "deployment",
    "statefulset",
];

const WORDS: [&str; 8] = [
    "checkout",
    "inventory",
    "catalog",
    "payments",
    "search",
    "recommendations",
    "frontend",
    "ledger",
];

/// A cluster of which all objects are generated.
pub(crate) struct Cluster {
    manifests: Vec<Manifest>,
}

struct Manifest {
    pod: Pod,
    containers: Vec<String>,
    stateful: bool,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            manifests: MANIFESTS.iter().map(|name| Manifest::of(name)).collect(),
        }
    }

    /// Puts all objects into an API server. Returns the average size of a pod, in bytes.
    pub(crate) fn fill(&self, server: &ApiServer) -> f64 {
        let namespaces = (0..NAMESPACES).map(|number| manifests::namespace(&namespace(number), &[]));
        server.put_all(Resource::Namespaces, namespaces);
        let nodes = (0..NODES).map(|number| {
            let address = format!("192.168.{}.{}", number >> 8, number & 255);
            manifests::node(&node(number), &[&address], "10.0.0.0/24")
        });
        server.put_all(Resource::Nodes, nodes);
        let services = (0..WORKLOADS).map(|number| {
            let address = format!("172.20.{}.{}", number >> 8, number & 255);
            let name = workload(number);
            manifests::service(&namespace(number), &name, &[("app", name.as_str())], &[&address])
        });
        server.put_all(Resource::Services, services);
        let mut bytes = 0;
        for number in 0..PODS {
            let pod = self.pod(number, number).into_value();
            // One pod of each manifest; the other pods have the same size.
            if number < MANIFESTS.len() {
                bytes += pod.to_string().len();
            }
            server.put(Resource::Pods, pod);
        }
        bytes as f64 / MANIFESTS.len() as f64
    }

    /// Pod `number`, ready, with the given address.
    pub(crate) fn pod(&self, number: usize, address: usize) -> Pod {
        let (workload_name, namespace) = (workload(number), namespace(number));
        let manifest = &self.manifests[number % WORKLOADS % MANIFESTS.len()];
        let hash = format!("{:010x}", ((number % WORKLOADS) * 0x9e37_79b9) & 0xff_ffff_ffff);
        let mut pod = manifest.pod.clone().label("app", &workload_name);
        let name;
        if manifest.stateful {
            name = format!("{workload_name}-{}", number / WORKLOADS);
            pod = pod
                .label("apps.kubernetes.io/pod-index", &(number / WORKLOADS).to_string())
                .label("controller-revision-hash", &format!("{workload_name}-{hash}"))
                .label("statefulset.kubernetes.io/pod-name", &name)
                .owner("StatefulSet", &workload_name);
        } else {
            let replica_set = format!("{workload_name}-{hash}");
            name = format!("{replica_set}-{number:05x}");
            pod = pod.label("pod-template-hash", &hash).owner("ReplicaSet", &replica_set);
            pod.0["metadata"]["generateName"] = json!(format!("{replica_set}-"));
        }
        pod.0["spec"]["serviceAccountName"] = json!(workload_name);
        for (place, container) in manifest.containers.iter().enumerate() {
            pod = pod.container_id(container, &format!("containerd://{number:060x}{place:04x}"));
        }
        pod.named(&namespace, &name)
            .uid(&format!(
                "{:08x}-77aa-4f10-9c3e-{number:012x}",
                (number * 0x9e37) & 0xffff_ffff
            ))
            .node(&node_of(number))
            .ip(&[&address_text(address)])
    }

    /// Whether the pods of this workload keep their names.
    pub(crate) fn is_stateful(&self, workload: usize) -> bool {
        self.manifests[workload % MANIFESTS.len()].stateful
    }
}

impl Manifest {
    fn of(name: &str) -> Self {
        let mut pod = Pod::of(name);
        let containers = ["initContainerStatuses", "containerStatuses"]
            .iter()
            .filter_map(|list| pod.0["status"][list].as_array())
            .flatten()
            .filter_map(|status| status["name"].as_str().map(str::to_owned))
            .collect();
        manifests::complete_pod(&mut pod.0);
        Self {
            pod,
            containers,
            stateful: name == "statefulset",
        }
    }
}

/// The node that the agent is on.
pub(crate) fn the_node() -> String {
    node(0)
}

/// The first pods are on the agent's node, the others are distributed over the other nodes.
fn node_of(number: usize) -> String {
    node(if number < PODS_OF_THE_NODE {
        0
    } else {
        1 + number % (NODES - 1)
    })
}

/// The numbers of a workload's pods.
pub(crate) fn pods_of(workload: usize) -> impl Iterator<Item = usize> {
    (0..REPLICAS).map(move |replica| replica * WORKLOADS + workload)
}

fn node(number: usize) -> String {
    format!("node-{number:04}")
}

fn namespace(number: usize) -> String {
    format!("team-{:03}", number % WORKLOADS % NAMESPACES)
}

fn workload(number: usize) -> String {
    let number = number % WORKLOADS;
    format!("{}-{number:04}", WORDS[number % WORDS.len()])
}

fn address_text(number: usize) -> String {
    let mut text = "10".to_owned();
    for shift in [16, 8, 0] {
        let _infallible = write!(text, ".{}", (number >> shift) & 255);
    }
    text
}
