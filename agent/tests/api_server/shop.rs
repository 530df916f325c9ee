//! A shop on a node: a client and a waypoint with real traffic, and an agent that watches both.

use crate::common::{
    cluster::{self, Cluster, Running, fresh_uid},
    v4,
};
use narrows_testbed::{
    agent::Agent,
    http,
    kubernetes::{
        Asked, Resource, Verb,
        manifests::{self, Pod},
    },
    load::{Plan, Server},
    scrape::Metrics,
    wait,
    workload::Workload,
};
use serde_json::Value;
use std::{cell::Cell, time::Duration};

/// The agent waits for an API server up to half a minute between two attempts, and takes a refusal for its role's only after half
/// a minute; tests end its other troubles long before.
const PATIENCE: Duration = Duration::from_secs(75);

/// The lists that are always read, with the labels that they have in metrics and status.
pub const SOURCES: [(&str, Resource); 5] = [
    ("namespaces", Resource::Namespaces),
    ("services", Resource::Services),
    ("nodes", Resource::Nodes),
    ("node_pods", Resource::Pods),
    ("cluster_pods", Resource::Pods),
];

/// The client, the waypoint that it calls, and the agent.
pub struct Shop {
    pub agent: Agent,
    // It ends before its pod does.
    _server: Server,
    client: Running,
    _waypoint: Running,
    sold: Cell<u64>,
    pub cluster: Cluster,
}

impl Shop {
    /// One whose agent has read everything.
    pub fn open() -> Self {
        let shop = Self::open_with(&[], "", |_| {});
        shop.synced();
        shop
    }

    /// One whose agent has just started, on what `prepare` has made of the cluster, with these arguments and settings.
    pub fn open_with(arguments: &[&str], settings: &str, prepare: impl FnOnce(&Cluster)) -> Self {
        let cluster = Cluster::new();
        let client = cluster.pod("deployment", "inventory-6d7f8b9c5-aaaaa", 11);
        let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
        let server = cluster::serve(&waypoint, "istio-proxy", 2);
        prepare(&cluster);
        // Attributed soon, since no news is late here.
        let settings = match settings {
            "" => "identity: { settle: 0.2 }\n",
            settings => settings,
        };
        let file = cluster.configuration(settings);
        let mut all = vec!["--config", file.as_str()];
        all.extend(arguments);
        let agent = cluster.start(&all);
        Self {
            agent,
            _server: server,
            client,
            _waypoint: waypoint,
            sold: Cell::new(0),
            cluster,
        }
    }

    /// Waits until all lists are complete and nothing is wrong with any.
    pub fn synced(&self) {
        self.awaits("all lists without an error", || {
            self.sources()
                .iter()
                .all(|source| source["synced"] == true && source["error"].is_null())
                .then_some(())
        });
    }

    /// `n` more connections from the client to the waypoint are the client's.
    pub fn sells(&self, n: u64) {
        connect(&self.client, n);
        self.sold.set(self.sold.get() + n);
        self.depends("inventory", self.sold.get());
    }

    /// Waits until the waypoint has had `n` connections altogether from a workload.
    pub fn depends(&self, workload: &str, n: u64) -> Metrics {
        self.agent
            .wait_for(&format!("{n} connections of {workload}"), |metrics| {
                dependents(metrics, workload) == n as f64
            })
    }

    /// A pod of another workload on this node, which the API server does not know yet.
    pub fn prepare(&self, workload: &str, n: u8) -> Running {
        self.cluster
            .prepare(deployment(workload), &format!("{workload}-6d7f8b9c5-ccccc"), n)
    }

    /// A pod of another workload on this node.
    pub fn hire(&self, workload: &str, n: u8) -> Running {
        let pod = self.prepare(workload, n);
        self.cluster.announce(&pod);
        pod
    }

    /// Its connections are attributed: it has become known.
    pub fn knows(&self, workload: &str, pod: &Running) {
        let before = dependents(&self.agent.metrics(), workload);
        connect(pod, 3);
        self.depends(workload, before as u64 + 3);
    }

    /// What the status says of its lists.
    pub fn sources(&self) -> Vec<Value> {
        let status = self.agent.get_json("/api/v1/status");
        status["kubernetes"]["sources"].as_array().expect("a list").clone()
    }

    /// What the status says of one of them.
    pub fn source(&self, name: &str) -> Value {
        let sources = self.sources();
        let found = sources.iter().find(|source| source["source"] == name);
        found.unwrap_or_else(|| panic!("no {name} among {sources:?}")).clone()
    }

    /// What is wrong with a list.
    pub fn error(&self, name: &str) -> Option<String> {
        self.source(name)["error"].as_str().map(str::to_owned)
    }

    /// Waits until a list has an error with these words, and returns the sentence.
    pub fn says(&self, name: &str, words: &str) -> String {
        self.awaits(&format!("{name} with the error {words:?}"), || {
            self.error(name).filter(|error| error.contains(words))
        })
    }

    /// How often the log says something.
    pub fn logged(&self, words: &str) -> usize {
        let log = self.agent.stderr();
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// Waits for something outside of the metrics.
    pub fn awaits<T>(&self, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        let found = wait::until(what, PATIENCE, probe);
        found.unwrap_or_else(|error| {
            let sources: Vec<_> = self.sources().iter().map(ToString::to_string).collect();
            panic!("{error}\n{}\nagent log:\n{}", sources.join("\n"), self.agent.stderr())
        })
    }

    /// The agent is ready.
    #[track_caller]
    pub fn ready(&self) {
        let answer = http::get(self.agent.address(), "/readyz", "*/*").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// A counter or gauge of one list.
    pub fn figure(&self, name: &str, source: &str) -> f64 {
        figure(&self.agent.metrics(), name, source)
    }

    /// How many objects of a list are known.
    pub fn objects(&self, source: &str) -> f64 {
        self.figure("narrows_identity_objects", source)
    }

    /// How often each list was complete.
    pub fn lists(&self) -> Vec<f64> {
        let metrics = self.agent.metrics();
        let of = |(source, _): &(&str, Resource)| figure(&metrics, "narrows_identity_lists_total", source);
        SOURCES.iter().map(of).collect()
    }

    /// Requests of a kind so far.
    pub fn asked(&self, verb: Verb, resource: Resource) -> Vec<Asked> {
        let mut asked = self.cluster.api.asked();
        asked.retain(|asked| asked.verb == Some(verb) && asked.resource == Some(resource));
        asked
    }
}

/// A metric of one list.
pub fn figure(metrics: &Metrics, name: &str, source: &str) -> f64 {
    metrics
        .get(name, &[("source", source)])
        .unwrap_or_else(|| panic!("no {name} of {source}"))
}

/// Connections that the waypoint has had from a workload.
pub fn dependents(metrics: &Metrics, workload: &str) -> f64 {
    metrics.sum(
        "narrows_dependent_connections_total",
        &[("point", "shop/waypoint"), ("source_workload", workload)],
    )
}

/// A pod of a deployment.
pub fn deployment(workload: &str) -> Pod {
    Pod::of("deployment").owner("ReplicaSet", &format!("{workload}-6d7f8b9c5"))
}

/// A pod of a deployment on another node.
pub fn remote(workload: &str, name: &str, address: &str) -> Pod {
    deployment(workload)
        .named("shop", name)
        .uid(&fresh_uid())
        .node("worker-2")
        .ip(&[address])
}

/// `n` connections from a pod to the waypoint.
pub fn connect(from: &Running, n: u64) {
    cluster::connect(from, &from.first(), 2, n);
}

/// `n` connections to the waypoint from somebody who is no pod of this node.
pub fn connect_from_afar(from: &Workload, n: u64) {
    assert_eq!(from.run(|| Plan::burst(v4(2, 8080), n).run()).ok, n);
}

/// A service in front of nobody.
pub fn service(name: &str, address: &str) -> Value {
    manifests::service("shop", name, &[("app", name)], &[address])
}
