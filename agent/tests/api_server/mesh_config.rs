//! The mesh's own config map names its trust domain.

use crate::common::{
    cluster::{Cluster, Running, connect, fresh_uid, serve},
    v4,
};
use narrows_testbed::{
    agent::Agent,
    kubernetes::{Fault, FaultKind, Resource, Verb, manifests::Pod},
    load::{Plan, Server},
    scrape::Metrics,
    wait,
};
use serde_json::{Value, json};
use std::time::Duration;

fn map(mesh: &str) -> Value {
    json!({ "metadata": { "namespace": "istio-system", "name": "istio" }, "data": { "mesh": mesh } })
}

#[track_caller]
fn awaits(what: &str, holds: impl Fn() -> bool) {
    wait::until(what, Duration::from_secs(20), || holds().then_some(())).unwrap_or_else(|error| panic!("{error}"));
}

/// An application with a sidecar, and a waypoint that it calls.
struct Mesh {
    agent: Agent,
    _server: Server,
    _waypoint: Running,
    application: Running,
    cluster: Cluster,
}

impl Mesh {
    fn begin(arguments: &[&str], prepare: impl FnOnce(&Cluster)) -> Self {
        let cluster = Cluster::new();
        let application = cluster.pod("istio-sidecar", "checkout-7d9c6b5f4d-aaaaa", 11);
        let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
        let server = serve(&waypoint, "istio-proxy", 2);
        // Others say nothing for a long time.
        cluster.api.bookmark_every(Duration::from_secs(3600));
        prepare(&cluster);
        let settings = cluster.configuration("identity: { settle: 0.2 }\n");
        let mut all = vec!["--config", &settings, "--mesh-config-map", "istio-system/istio"];
        all.extend(arguments);
        Self {
            agent: cluster.start(&all),
            _server: server,
            _waypoint: waypoint,
            application,
            cluster,
        }
    }

    /// Waits until new traffic of the application has a principal of this trust domain.
    fn becomes(&self, domain: &str) {
        self.calls_become(domain, || connect(&self.application, "checkout", 2, 3));
    }

    /// Waits until the three connections that `call` makes have a principal of this trust domain.
    fn calls_become(&self, domain: &str, call: impl Fn()) {
        let principal = format!("spiffe://{domain}/ns/shop/sa/checkout");
        let labels = [
            ("source_workload", "checkout"),
            ("source_principal", principal.as_str()),
        ];
        let of = |metrics: &Metrics, labels: &[_]| metrics.sum("narrows_dependent_connections_total", labels);
        let found = wait::until(&principal, Duration::from_secs(20), || {
            let before = self.agent.metrics();
            call();
            let all = of(&before, &labels[..1]) + 3.0;
            let after = self
                .agent
                .wait_for("three more", |metrics| of(metrics, &labels[..1]) == all);
            (of(&after, &labels) == of(&before, &labels) + 3.0).then_some(())
        });
        found.unwrap_or_else(|error| {
            let shown = self.agent.metrics().listing("narrows_dependent_connections");
            panic!("{error}\n{shown}{}", self.agent.stderr())
        });
    }

    fn says(&self, mesh: &str) {
        self.cluster.api.put(Resource::ConfigMaps, map(mesh));
    }
}

#[test]
fn principals_are_of_its_trust_domain_and_follow_its_changes() {
    let mesh = Mesh::begin(&[], |cluster| {
        cluster.api.put(Resource::ConfigMaps, map("trustDomain: td.example\n"));
    });
    mesh.becomes("td.example");
    mesh.says("accessLogFile: /dev/stdout\ntrustDomain: other.example\n");
    mesh.becomes("other.example");
    // What cannot be understood changes nothing.
    mesh.says("trustDomain: [");
    mesh.agent.wait_for("the map to be counted as unreadable", |metrics| {
        metrics.sum(
            "narrows_identity_unreadable_objects_total",
            &[("source", "mesh_config")],
        ) == 1.0
    });
    mesh.becomes("other.example");
    let asked = mesh.cluster.api.asked();
    let maps = asked
        .iter()
        .filter(|asked| asked.resource == Some(Resource::ConfigMaps));
    for request in maps {
        // Of all config maps only this one, so that a role can name it.
        assert_eq!(request.namespace.as_deref(), Some("istio-system"), "{request:?}");
        assert_eq!(
            request.field_selector.as_deref(),
            Some("metadata.name=istio"),
            "{request:?}"
        );
    }
}

#[test]
fn a_map_that_comes_later_is_followed() {
    let mesh = Mesh::begin(&[], |_| {});
    mesh.becomes("cluster.local");
    mesh.says("trustDomain: td.example\n");
    mesh.becomes("td.example");
}

#[test]
fn a_map_that_can_be_read_only_later_is_followed_at_once() {
    let mesh = Mesh::begin(&[], |cluster| {
        cluster.api.put(Resource::ConfigMaps, map("trustDomain: td.example\n"));
        cluster.api.fault(Fault::forbidden(Resource::ConfigMaps, Verb::List));
    });
    mesh.becomes("cluster.local");
    mesh.cluster.api.clear_faults();
    mesh.becomes("td.example");
}

#[test]
fn a_map_that_changes_between_two_pages_of_pods_is_followed() {
    // On the first page.
    let afar = Pod::of("istio-sidecar").named("shop", "a-checkout").uid(&fresh_uid());
    let afar = afar.node("worker-2").ip(&["10.90.0.60"]);
    let mesh = Mesh::begin(&[], |cluster| {
        cluster.api.put(Resource::ConfigMaps, map("trustDomain: td.example\n"));
        cluster.api.put(Resource::Pods, afar.into_value());
        let others = (0..600).map(|n| {
            let pod = Pod::of("deployment")
                .named("shop", &format!("other-{n}"))
                .uid(&fresh_uid());
            pod.node("worker-2")
                .ip(&[&format!("10.91.{}.{}", n / 250, n % 250 + 1)])
                .into_value()
        });
        cluster.api.put_all(Resource::Pods, others);
        let held = Fault::new(FaultKind::Held).on(Resource::Pods).verb(Verb::List);
        cluster.api.fault(held.continued());
    });
    awaits("the second page to be asked for", || {
        let asked = mesh.cluster.api.asked();
        let mut lists = asked.iter().filter(|asked| asked.resource == Some(Resource::Pods));
        lists.any(|list| list.continued && list.status.is_none())
    });
    mesh.says("trustDomain: other.example\n");
    awaits("the map to be read", || mesh.agent.stderr().contains("other.example"));
    mesh.cluster.api.clear_faults();
    mesh.becomes("other.example");
    let afar = mesh.cluster.world.workload("afar", 60);
    mesh.calls_become("other.example", || {
        assert_eq!(afar.run(|| Plan::burst(v4(2, 8080), 3).run()).ok, 3);
    });
}

#[test]
fn the_users_own_trust_domain_comes_before_it() {
    let mesh = Mesh::begin(&["--trust-domain", "given.example"], |cluster| {
        cluster.api.put(Resource::ConfigMaps, map("trustDomain: td.example\n"));
    });
    mesh.becomes("given.example");
}

#[test]
fn a_map_that_the_role_forbids_is_named() {
    let mesh = Mesh::begin(&[], |cluster| {
        cluster.api.fault(Fault::forbidden(Resource::ConfigMaps, Verb::List));
    });
    mesh.becomes("cluster.local");
    // Only when it has lasted is a refusal the role's.
    let lasting = "the agent's role lacks the verb \"list\" on \"configmaps\"";
    let named = wait::until(lasting, Duration::from_secs(75), || {
        let status = mesh.agent.get_json("/api/v1/status");
        let sources = status["kubernetes"]["sources"].as_array().expect("a list");
        let map = sources.iter().find(|source| source["source"] == "mesh_config")?;
        map["error"].as_str().filter(|error| error.contains(lasting)).map(drop)
    });
    named.unwrap_or_else(|error| panic!("{error}\n{}", mesh.agent.stderr()));
}
