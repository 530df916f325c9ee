//! A node of a cluster: an API server, and pods as a kubelet lays them out.

use super::{World, binary, v4};
use narrows_testbed::{
    agent::Agent,
    kubernetes::{
        ApiServer, Resource,
        manifests::{self, Pod},
        node::{Layout, Network, Qos, SimPod},
    },
    load::{Behaviour, Plan, Server},
};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// The node that the agent is on.
pub const NODE: &str = "worker-1";

/// An API server and a network.
pub struct Cluster {
    pub world: World,
    pub api: ApiServer,
    files: TempDir,
}

/// A pod that runs on this node.
pub struct Running {
    /// What the kernel sees.
    pub sim: SimPod,
    /// What the API server says.
    pub object: Pod,
}

impl Running {
    /// Runs `work` in one of its containers.
    pub fn run<R: Send>(&self, container: &str, work: impl FnOnce() -> R + Send) -> R {
        self.sim.run(container, work)
    }

    /// The name of its first container that runs.
    pub fn first(&self) -> String {
        containers(&self.object).swap_remove(0)
    }

    /// The container that is its sidecar.
    pub fn sidecar(&self) -> String {
        let proxies = ["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"];
        let mut names = containers(&self.object).into_iter();
        names.find(|name| proxies.contains(&name.as_str())).expect("a sidecar")
    }

    /// The container that is its application.
    pub fn application(&self) -> String {
        let sidecar = self.sidecar();
        let mut names = containers(&self.object).into_iter();
        names.find(|name| *name != sidecar).expect("an application")
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        text(&self.object.0["metadata"]["namespace"])
    }

    /// The name of its workload, where that is what its owner is called without a hash.
    pub fn workload(&self) -> String {
        let meta = &self.object.0["metadata"];
        let owner = text(&meta["ownerReferences"][0]["name"]);
        let hash = meta["labels"]["pod-template-hash"].as_str().unwrap_or_default();
        let short = owner.strip_suffix(hash).and_then(|name| name.strip_suffix('-'));
        short.unwrap_or(&owner).to_owned()
    }

    /// What Istio calls it.
    pub fn istio_principal(&self) -> String {
        let account = text(&self.object.0["spec"]["serviceAccountName"]);
        format!("spiffe://cluster.local/ns/{}/sa/{account}", self.namespace())
    }
}

/// `n` connections of a pod to 10.90.0.`to`, all answered.
#[track_caller]
pub fn connect(from: &Running, container: &str, to: u8, n: u64) {
    assert_eq!(from.run(container, || Plan::burst(v4(to, 8080), n).run()).ok, n);
}

/// Answers on 10.90.0.`n`.
pub fn serve(pod: &Running, container: &str, n: u8) -> Server {
    pod.run(container, || Server::start(v4(n, 8080), Behaviour::default()))
        .expect("it listens")
}

/// Now, as objects say it: cut to the second.
pub fn time_now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Cluster {
    pub fn new() -> Self {
        let api = ApiServer::start().expect("an API server");
        Self::of(World::new(), api)
    }

    /// With an API server that is empty so far.
    pub fn of(world: World, api: ApiServer) -> Self {
        api.put(Resource::Nodes, manifests::node(NODE, &["172.18.0.3"], "10.90.0.0/24"));
        for namespace in ["shop", "istio-system", "default"] {
            api.put(Resource::Namespaces, manifests::namespace(namespace, &[]));
        }
        Self {
            world,
            api,
            files: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The agent on this node.
    pub fn start(&self, arguments: &[&str]) -> Agent {
        Agent::start_in_cluster(binary(), self.api.kubeconfig(), NODE, arguments).expect("the agent starts")
    }

    /// A configuration file with these contents.
    pub fn configuration(&self, contents: &str) -> String {
        let file = self.files.path().join("config.yaml");
        std::fs::write(&file, contents).expect("written");
        file.display().to_string()
    }

    /// A pod from a manifest, under a name, an address and a uid of its own, that the API server does not know yet.
    pub fn prepare(&self, manifest: Pod, name: &str, n: u8) -> Running {
        self.prepare_as(manifest, name, n, Layout::ContainerdSystemd, Qos::Burstable)
    }

    pub fn prepare_as(&self, manifest: Pod, name: &str, n: u8, layout: Layout, qos: Qos) -> Running {
        let object = self.object(manifest, name, n, layout);
        let uid = text(&object.0["metadata"]["uid"]);
        self.place(object, &uid, n, layout, qos)
    }

    /// Its object.
    pub fn object(&self, manifest: Pod, name: &str, n: u8, layout: Layout) -> Pod {
        let namespace = text(&manifest.0["metadata"]["namespace"]);
        let mut pod = manifest.named(&namespace, name).uid(&fresh_uid()).node(NODE);
        if pod.0["spec"]["hostNetwork"] != true {
            pod = pod.ip(&[&format!("10.90.0.{n}"), &format!("fd00:90::{n:x}")]);
        }
        for container in containers(&pod) {
            let id = format!("{}{}", layout.container_id_prefix(), fresh_id());
            pod = pod.container_id(&container, &id);
        }
        pod
    }

    /// Its cgroups and its namespace.
    pub fn place(&self, object: Pod, uid: &str, n: u8, layout: Layout, qos: Qos) -> Running {
        let names = containers(&object);
        let ids: Vec<_> = names.iter().map(|name| id_of(&object, name)).collect();
        let both: Vec<_> = names
            .iter()
            .map(String::as_str)
            .zip(ids.iter().map(String::as_str))
            .collect();
        let addresses = [format!("10.90.0.{n}/24"), format!("fd00:90::{n:x}/64")];
        let addresses = [addresses[0].as_str(), addresses[1].as_str()];
        let network = if object.0["spec"]["hostNetwork"] == true {
            Network::Host
        } else {
            Network::Own(&self.world.fabric, &addresses)
        };
        let sim = SimPod::new(&self.world.top, layout, qos, uid, &both, network).expect("a pod");
        Running { sim, object }
    }

    /// Tells the API server of a pod.
    pub fn announce(&self, pod: &Running) {
        self.api.put(Resource::Pods, pod.object.clone().into_value());
    }

    /// A pod that runs and is known.
    pub fn pod(&self, manifest: &str, name: &str, n: u8) -> Running {
        let pod = self.prepare(Pod::of(manifest), name, n);
        self.announce(&pod);
        pod
    }
}

/// Names of the containers that have a status.
pub fn containers(pod: &Pod) -> Vec<String> {
    statuses(pod).map(|status| text(&status["name"])).collect()
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| pod.0["status"][list].as_array());
    // Init containers that have ended hold no sockets.
    lists
        .into_iter()
        .flatten()
        .flatten()
        .filter(|status| !status["state"]["running"].is_null())
}

fn id_of(pod: &Pod, container: &str) -> String {
    let status = statuses(pod)
        .find(|status| status["name"] == container)
        .expect("a container");
    let id = text(&status["containerID"]);
    id.rsplit("://").next().unwrap_or(&id).to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) << 24 | u64::from(std::process::id())
}

pub fn fresh_uid() -> String {
    format!("7e57ab1e-0000-4000-8000-{:012x}", fresh() & 0xffff_ffff_ffff)
}

pub fn fresh_id() -> String {
    format!("{:064x}", fresh())
}
