//! Objects that no API server should send, beside those that it should.

use crate::{
    common::cluster::{NODE, fresh_id, fresh_uid},
    names::HOSTILE,
    shop::{Shop, connect_from_afar, remote},
};
use narrows_testbed::kubernetes::Resource;
use serde_json::{Value, json};

const UNREADABLE: &str = "narrows_identity_unreadable_objects_total";

fn meta(name: &str) -> Value {
    json!({ "namespace": "shop", "name": name, "uid": fresh_uid() })
}

/// Odd, but each says what it says. All on this node.
fn odd() -> Vec<Value> {
    let long = "x".repeat(250);
    let containers: Vec<_> = (0..1_000)
        .map(|n| json!({ "name": format!("c{n}"), "args": ["a"], "env": [{ "name": "A" }] }))
        .collect();
    let statuses: Vec<_> = (0..1_000)
        .map(|n| json!({ "name": format!("c{n}"), "containerID": format!("containerd://{}", fresh_id()) }))
        .collect();
    let null_meta = json!({
        "namespace": "shop", "name": "nulls", "uid": fresh_uid(), "labels": null, "annotations": null,
        "ownerReferences": null, "generateName": null, "deletionTimestamp": null, "managedFields": null,
    });
    vec![
        json!({ "metadata": meta("no-status"), "spec": { "nodeName": NODE } }),
        json!({ "metadata": meta("empty"), "spec": { "nodeName": NODE }, "status": {} }),
        json!({
            "metadata": null_meta,
            "spec": { "nodeName": NODE, "containers": null, "initContainers": null, "serviceAccountName": null,
                "hostNetwork": null, "volumes": null },
            "status": { "phase": null, "podIP": null, "podIPs": null, "conditions": null, "containerStatuses": null,
                "startTime": null },
        }),
        json!({ "metadata": meta("null-status"), "spec": { "nodeName": NODE }, "status": null }),
        json!({ "metadata": meta("crowd"), "spec": { "nodeName": NODE, "containers": containers },
            "status": { "containerStatuses": statuses } }),
        json!({
            "metadata": { "namespace": &long, "name": &long, "labels": { &long: &long }, "annotations": { &long: &long },
                "ownerReferences": [{ "kind": &long, "name": &long, "controller": true }], "uid": fresh_uid() },
            "spec": { "nodeName": NODE, "serviceAccountName": &long, "containers": [{ "name": &long }] },
        }),
        json!({
            "metadata": { "namespace": "shop", "name": HOSTILE, "labels": { HOSTILE: HOSTILE },
                "annotations": { HOSTILE: HOSTILE },
                "ownerReferences": [{ "kind": HOSTILE, "name": HOSTILE, "controller": true }], "uid": HOSTILE },
            "spec": { "nodeName": NODE, "serviceAccountName": HOSTILE, "containers": [{ "name": HOSTILE }] },
            "status": { "phase": HOSTILE, "podIP": HOSTILE, "startTime": HOSTILE, "podIPs": [{ "ip": HOSTILE }, {}],
                "containerStatuses": [{ "name": HOSTILE, "containerID": HOSTILE }] },
        }),
        json!({ "metadata": { "namespace": "shop", "name": "no-uid" }, "spec": { "nodeName": NODE } }),
    ]
}

/// Pods of this node with something of a wrong type, by name.
fn wrong() -> Vec<Value> {
    let pod = |name: &str, pointer: &str, value: Value| {
        let mut pod = json!({
            "metadata": meta(name), "spec": { "nodeName": NODE, "containers": [] }, "status": { "podIPs": [] },
        });
        *pod.pointer_mut(pointer).expect("it is there") = value;
        pod
    };
    vec![
        pod("containers-are-a-mapping", "/spec/containers", json!({})),
        pod("containers-are-numbers", "/spec/containers", json!([7])),
        pod("status-is-a-number", "/status", json!(7)),
        pod("status-is-a-text", "/status", json!("Running")),
        pod("addresses-are-texts", "/status/podIPs", json!(["10.90.0.77"])),
    ]
}

/// The same with what can be wrong before the specification: even less of these can be read.
fn wrong_metadata() -> Vec<Value> {
    let pod = |name: &str, field: &str, value: Value| {
        let mut meta = meta(name);
        meta[field] = value;
        json!({ "metadata": meta, "spec": { "nodeName": NODE } })
    };
    vec![
        pod("labels-are-a-list", "labels", json!([1])),
        pod("a-label-is-a-number", "labels", json!({ "a": 1 })),
        pod("annotations-are-a-text", "annotations", json!("a")),
        pod("owners-are-a-mapping", "ownerReferences", json!({})),
    ]
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

/// How often the log names an object as unreadable.
fn named(shop: &Shop, resource: &str, name: &str) -> usize {
    let log = shop.agent.stderr();
    let words = [
        "cannot be read".to_owned(),
        format!("resource={resource:?}"),
        "namespace=\"shop\"".to_owned(),
        format!("name={name:?}"),
    ];
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.count()
}

#[test]
fn odd_objects_are_taken_for_what_they_say() {
    let objects = odd();
    let shop = Shop::open_with(&[], "", |cluster| cluster.api.put_all(Resource::Pods, odd()));
    shop.synced();
    shop.sells(5);
    let n = 2.0 + objects.len() as f64;
    assert_eq!(shop.objects("node_pods"), n, "{}", shop.agent.stderr());
    // The same as events, and one more behind them.
    shop.cluster.api.put_all(Resource::Pods, odd());
    let nowhere = json!({ "metadata": meta("no-spec") });
    shop.cluster.api.put(Resource::Pods, nowhere);
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    shop.sells(5);
    assert_eq!(shop.figure(UNREADABLE, "node_pods"), 0.0, "{}", shop.agent.stderr());
    assert_eq!(shop.figure(UNREADABLE, "cluster_pods"), 0.0, "{}", shop.agent.stderr());
    assert_eq!(shop.objects("cluster_pods"), 1.0);
}

#[test]
fn pods_with_wrong_types_are_counted_and_named_and_their_neighbours_are_known() {
    let shop = Shop::open_with(&[], "", |cluster| {
        cluster.api.put_all(Resource::Pods, wrong());
        // Without a specification it is nobody's.
        cluster.api.put(
            Resource::Pods,
            json!({ "metadata": meta("spec-is-a-number"), "spec": 7 }),
        );
    });
    shop.synced();
    shop.sells(5);
    let n = wrong().len() as f64;
    assert_eq!(shop.figure(UNREADABLE, "node_pods"), n);
    assert_eq!(shop.figure(UNREADABLE, "cluster_pods"), 1.0);
    assert_eq!(shop.objects("node_pods"), 2.0);
    for object in &wrong() {
        assert_eq!(named(&shop, "pods", name_of(object)), 1, "{}", shop.agent.stderr());
    }
    assert_eq!(named(&shop, "pods", "spec-is-a-number"), 1, "{}", shop.agent.stderr());

    // As events.
    shop.cluster.api.put_all(Resource::Pods, wrong());
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    assert_eq!(shop.figure(UNREADABLE, "node_pods"), 2.0 * n);
    for object in &wrong() {
        assert_eq!(named(&shop, "pods", name_of(object)), 2, "{}", shop.agent.stderr());
    }
    // They are no failure of the list.
    assert_eq!(shop.error("node_pods"), None);
    assert_eq!(shop.lists(), [1.0; 5]);
}

#[test]
fn pods_whose_metadata_has_wrong_types_are_named_as_well() {
    let shop = Shop::open_with(&[], "", |cluster| cluster.api.put_all(Resource::Pods, wrong_metadata()));
    shop.synced();
    shop.sells(5);
    assert_eq!(shop.figure(UNREADABLE, "node_pods"), wrong_metadata().len() as f64);
    for object in &wrong_metadata() {
        assert_eq!(named(&shop, "pods", name_of(object)), 1, "{}", shop.agent.stderr());
    }
    shop.cluster.api.put_all(Resource::Pods, wrong_metadata());
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    for object in &wrong_metadata() {
        assert_eq!(named(&shop, "pods", name_of(object)), 2, "{}", shop.agent.stderr());
    }
}

#[test]
fn services_and_nodes_with_wrong_types_are_counted_and_named() {
    let services = [
        json!({ "metadata": meta("spec-is-a-number"), "spec": 7 }),
        json!({ "metadata": meta("port-is-a-name"), "spec": { "ports": [{ "port": "http" }] } }),
        json!({ "metadata": meta("port-is-too-large"), "spec": { "ports": [{ "port": 70_000 }] } }),
        json!({ "metadata": meta("selector-is-a-list"), "spec": { "selector": ["app"] } }),
    ];
    let node = json!({ "metadata": { "name": "odd-node" }, "status": { "addresses": 7 } });
    let shop = Shop::open_with(&[], "", |cluster| {
        cluster.api.put_all(Resource::Services, services.clone());
        cluster.api.put(Resource::Nodes, node.clone());
    });
    shop.synced();
    shop.sells(5);
    assert_eq!(shop.figure(UNREADABLE, "services"), services.len() as f64);
    assert_eq!(shop.figure(UNREADABLE, "nodes"), 1.0);
    assert_eq!(shop.objects("nodes"), 1.0);
    for service in &services {
        assert_eq!(named(&shop, "services", name_of(service)), 1, "{}", shop.agent.stderr());
    }
    shop.cluster.api.put(Resource::Nodes, node);
    shop.awaits("the node to be counted again", || {
        (shop.figure(UNREADABLE, "nodes") == 2.0).then_some(())
    });
}

/// A pod on another node that is known, then becomes what `spoil` makes of it, and is read again in an event and in a list.
fn keeps_its_last_good_state(spoil: impl FnOnce(&mut Value)) {
    let mut pod = remote("afar", "afar", "10.90.0.60").into_value();
    let shop = Shop::open_with(&[], "identity: { settle: 0.2, wait: 1 }\n", |cluster| {
        cluster.api.put(Resource::Pods, pod.clone());
    });
    shop.synced();
    let afar = shop.cluster.world.workload("afar", 60);
    connect_from_afar(&afar, 4);
    shop.depends("afar", 4);
    spoil(&mut pod);
    shop.cluster.api.put(Resource::Pods, pod);
    shop.awaits("it to be unreadable", || {
        (shop.figure(UNREADABLE, "cluster_pods") == 1.0).then_some(())
    });
    connect_from_afar(&afar, 4);
    shop.depends("afar", 8);
    shop.cluster.api.expire_watches();
    shop.awaits("another list", || (shop.lists() == [2.0; 5]).then_some(()));
    assert_eq!(shop.figure(UNREADABLE, "cluster_pods"), 2.0);
    assert_eq!(shop.objects("cluster_pods"), 1.0, "{}", shop.agent.stderr());
    connect_from_afar(&afar, 4);
    shop.depends("afar", 12);
}

#[test]
fn what_becomes_unreadable_keeps_its_last_good_state() {
    keeps_its_last_good_state(|pod| pod["spec"]["containers"] = json!({}));
}

#[test]
fn what_becomes_unreadable_in_its_metadata_keeps_its_last_good_state() {
    keeps_its_last_good_state(|pod| pod["metadata"]["labels"] = json!([1]));
}

#[test]
fn what_has_become_unreadable_goes_when_it_is_deleted() {
    for (pointer, value) in [("/spec/containers", json!({})), ("/metadata/labels", json!([1]))] {
        let mut pod = remote("afar", "afar", "10.90.0.60").into_value();
        let shop = Shop::open_with(&["--interval", "0.2"], "", |cluster| {
            cluster.api.put(Resource::Pods, pod.clone());
        });
        shop.synced();
        assert_eq!(shop.objects("cluster_pods"), 1.0);
        *pod.pointer_mut(pointer).expect("it is there") = value;
        shop.cluster.api.put(Resource::Pods, pod);
        shop.awaits("it to be unreadable", || {
            (shop.figure(UNREADABLE, "cluster_pods") == 1.0).then_some(())
        });
        assert!(shop.cluster.api.delete(Resource::Pods, "shop", "afar"));
        // Another event behind it.
        let next = remote("next", "next", "10.90.0.61").into_value();
        shop.cluster.api.put(Resource::Pods, next);
        let afar = shop.cluster.world.workload("next", 61);
        connect_from_afar(&afar, 4);
        shop.depends("next", 4);
        assert_eq!(shop.objects("cluster_pods"), 1.0, "{pointer}: {}", shop.agent.stderr());
    }
}
