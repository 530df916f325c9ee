use super::*;
use crate::{identity::Duty, node::ContainerId, points::Mesh};
use narrows_testbed::kubernetes::manifests::{self, Pod as Manifest};
use serde_json::Value;

const NOW: Millis = 2_000_000_000_000;

fn directory() -> Directory {
    let setup = Setup {
        rules: Rules::new(Vec::new()).expect("the built-in rules"),
        meshes: Meshes::default(),
        uncovered: Vec::new(),
        pods: 100,
        settle: 2_000,
    };
    Directory::new(setup, Vec::new())
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn pod(manifest: &str, n: u32) -> Pod {
    let manifest = Manifest::of(manifest)
        .named("shop", &format!("pod-{n}"))
        .uid(&format!("00000000-0000-4000-8000-{n:012}"))
        .ip(&[&format!("10.0.0.{n}")]);
    read(manifest.into_value())
}

fn who(directory: &mut Directory, address: &str) -> String {
    match directory.address(address.parse().expect("an address"), NOW, NOW + 1) {
        Held::Nobody => "nobody".into(),
        Held::Several => "several".into(),
        Held::One(Identity::Workload(workload)) => workload.to_string(),
        Held::One(Identity::Point(point)) => format!("{} {} {:?}", point.kind.label(), point.name, point.instance),
    }
}

#[test]
fn a_workload_has_the_duty_that_its_newest_pod_tells() {
    let mut directory = directory();
    let mut put = |n: u32, label: Option<(&str, &str)>| {
        let manifest = Manifest::of("deployment")
            .named("monitoring", &format!("pod-{n}"))
            .uid(&format!("00000000-0000-4000-8000-{n:012}"))
            .ip(&[&format!("10.0.0.{n}")]);
        let manifest = match label {
            Some((name, value)) => manifest.label(name, value),
            None => manifest,
        };
        directory.apply_pod(Source::ClusterPods, &read(manifest.into_value()), NOW);
        let address = format!("10.0.0.{n}").parse().expect("an address");
        match directory.address(address, NOW, NOW + 1) {
            Held::One(Identity::Workload(workload)) => workload.duty,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(put(1, None), None);
    // The label comes with a rollout, and its pods are there beside the former ones.
    let label = ("app.kubernetes.io/component", "opentelemetry-collector");
    assert_eq!(put(2, Some(label)), Some(Duty::Scraper));
    assert_eq!(put(3, Some(label)), Some(Duty::Scraper));
    assert_eq!(
        put(4, Some(("istio", "pilot"))),
        Some(Duty::ControlPlane(Some(Mesh::Istio)))
    );
}

#[test]
fn a_service_is_who_is_behind_it() {
    let mut directory = directory();
    let put = |directory: &mut Directory, name: &str, selector: &[(&str, &str)], address: &str| {
        directory.apply_service(&read(manifests::service("shop", name, selector, &[address])));
    };
    put(&mut directory, "plain", &[("app", "inventory")], "10.96.0.1");
    put(
        &mut directory,
        "waypoint",
        &[("gateway.networking.k8s.io/gateway-name", "waypoint")],
        "10.96.0.2",
    );
    put(&mut directory, "api", &[], "10.96.0.3");
    put(&mut directory, "mixed", &[("tier", "both")], "10.96.0.4");
    put(&mut directory, "headless", &[("app", "inventory")], "None");
    // No pod is behind it yet: the service itself.
    assert_eq!(who(&mut directory, "10.96.0.1"), "Service shop/plain");
    for n in [1, 2] {
        directory.apply_pod(Source::ClusterPods, &pod("deployment", n), NOW);
        directory.apply_pod(Source::ClusterPods, &pod("istio-waypoint", 10 + n), NOW);
    }
    assert_eq!(who(&mut directory, "10.96.0.1"), "Deployment shop/inventory");
    // No instance is known of a point behind a service.
    assert_eq!(who(&mut directory, "10.96.0.2"), "waypoint shop/waypoint \"\"");
    assert_eq!(who(&mut directory, "10.0.0.11"), "waypoint shop/waypoint \"pod-11\"");
    assert_eq!(who(&mut directory, "10.96.0.3"), "Service shop/api");
    let mut one = pod("deployment", 3);
    let mut other = pod("statefulset", 4);
    for pod in [&mut one, &mut other] {
        pod.metadata.labels.insert("tier".into(), "both".into());
        directory.apply_pod(Source::ClusterPods, pod, NOW);
    }
    assert_eq!(who(&mut directory, "10.96.0.4"), "Service shop/mixed");
    // With the last pod of one of them, the other is alone behind it.
    let key = key_of(&other.metadata);
    directory.delete_pod(Source::ClusterPods, key, None, NOW);
    assert_eq!(who(&mut directory, "10.96.0.4"), "Deployment shop/inventory");
    // Pods of another namespace are not behind it.
    let mut foreign = pod("statefulset", 5);
    foreign.metadata.namespace = "other".into();
    foreign.metadata.labels.insert("tier".into(), "both".into());
    directory.apply_pod(Source::ClusterPods, &foreign, NOW);
    assert_eq!(who(&mut directory, "10.96.0.4"), "Deployment shop/inventory");
}

#[test]
fn the_service_of_a_control_plane_is_one_without_its_pods() {
    let mut directory = directory();
    let mut elsewhere: Service = read(manifests::service("istio-system", "istiod-remote", &[], &["10.96.0.2"]));
    let name = ("app.kubernetes.io/name".to_owned(), "istiod".to_owned());
    elsewhere.metadata.labels.extend([name]);
    directory.apply_service(&elsewhere);
    for (name, selector, address) in [
        ("istiod", &[("app", "istiod")][..], "10.96.0.1"),
        ("api", &[], "10.96.0.3"),
    ] {
        directory.apply_service(&read(manifests::service("istio-system", name, selector, &[address])));
    }
    for (address, expected) in [("10.96.0.1", true), ("10.96.0.2", true), ("10.96.0.3", false)] {
        let Held::One(Identity::Workload(who)) = directory.address(address.parse().expect("an address"), NOW, NOW)
        else {
            panic!("{address} is a service's")
        };
        let is_control_plane = who.duty == Some(Duty::ControlPlane(Some(Mesh::Istio)));
        assert_eq!(is_control_plane, expected, "{address} {who}");
    }
}

#[test]
fn a_service_that_goes_takes_only_its_own_address_along() {
    let mut directory = directory();
    let old = directory.apply_service(&read(manifests::service("shop", "old", &[], &["10.96.0.1"])));
    let new = manifests::service("shop", "new", &[], &["10.96.0.1"]);
    let new = directory.apply_service(&read(new));
    assert_ne!(old, new);
    directory.delete_service(old);
    assert_eq!(who(&mut directory, "10.96.0.1"), "Service shop/new");
    directory.retain(Source::Services, &HashSet::new(), NOW);
    assert_eq!(who(&mut directory, "10.96.0.1"), "nobody");
}

#[test]
fn a_pod_that_gets_its_node_moves_from_one_list_to_the_other() {
    let mut directory = directory();
    let pod = pod("deployment", 1);
    let key = key_of(&pod.metadata);
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        for update in order {
            match update {
                // Pending, in the list of all other pods; then in that of this node, and out of the first.
                0 => {
                    let mut pending = pod.clone();
                    (pending.status.pod_ip, pending.status.pod_ips) = (String::new(), Vec::new());
                    directory.apply_pod(Source::ClusterPods, &pending, NOW);
                }
                1 => {
                    directory.apply_pod(Source::NodePods, &pod, NOW);
                }
                _ => directory.delete_pod(Source::ClusterPods, key, Some(&pod), NOW),
            }
        }
        assert_eq!(
            who(&mut directory, "10.0.0.1"),
            "Deployment shop/inventory",
            "{order:?}"
        );
        assert!(directory.local(PodUid(key)).is_some());
        assert_eq!(
            (directory.count(Source::NodePods), directory.count(Source::ClusterPods)),
            (1, 0)
        );
    }
    directory.delete_pod(Source::NodePods, key, Some(&pod), NOW);
    assert_eq!(
        (directory.count(Source::NodePods), directory.count(Source::ClusterPods)),
        (0, 0)
    );
}

#[test]
fn a_static_pod_is_found_by_the_uid_in_its_cgroup() {
    let mut directory = directory();
    let pod: Pod = read(manifests::pod("static"));
    directory.apply_pod(Source::NodePods, &pod, NOW);
    let uid = static_uid(&pod.metadata).expect("the kubelet's uid");
    let by_cgroup = directory.local(uid).expect("known").clone();
    assert_eq!(by_cgroup.uid, key_of(&pod.metadata));
    // Deleted, but remembered for a while under both.
    directory.delete_pod(Source::NodePods, by_cgroup.uid, Some(&pod), NOW);
    for uid in [uid, PodUid(by_cgroup.uid)] {
        assert_eq!(directory.local(uid).expect("remembered").gone, Some(NOW));
    }
    directory.tidy(NOW + REMEMBERED + 1);
    assert!(directory.local(uid).is_none());
}

#[test]
fn what_a_complete_list_lacks_is_gone() {
    let mut directory = directory();
    let keys: HashSet<u128> = (1..=3)
        .map(|n| directory.apply_pod(Source::ClusterPods, &pod("deployment", n), NOW))
        .collect();
    let local = directory.apply_pod(Source::NodePods, &pod("deployment", 9), NOW);
    let kept: HashSet<u128> = keys.into_iter().take(1).collect();
    directory.retain(Source::ClusterPods, &kept, NOW);
    assert_eq!(
        (directory.count(Source::ClusterPods), directory.count(Source::NodePods)),
        (1, 1)
    );
    assert!(directory.local(PodUid(local)).is_some());
}

#[test]
fn what_nobody_refers_to_any_more_is_forgotten() {
    let mut directory = directory();
    for n in 1..=50 {
        let key = directory.apply_pod(Source::ClusterPods, &pod("deployment", n), NOW);
        directory.delete_pod(Source::ClusterPods, key, None, NOW);
    }
    directory.tidy(NOW + REMEMBERED + 1);
    let sizes = directory.sizes();
    assert_eq!((sizes.pods, sizes.addresses, sizes.workloads), (0, 0, 0));
    assert!(directory.services.groups.is_empty() && directory.services.strings.is_empty());
}

#[test]
fn beyond_the_bound_pods_are_counted() {
    let mut directory = directory();
    for n in 0..150 {
        directory.apply_pod(Source::ClusterPods, &pod("deployment", n), NOW);
    }
    let sizes = directory.sizes();
    assert_eq!((sizes.pods, sizes.turned_away), (100, 50));
    // Known pods are still updated.
    directory.apply_pod(Source::ClusterPods, &pod("statefulset", 1), NOW);
    assert!(who(&mut directory, "10.0.0.1").starts_with("StatefulSet"));
    assert_eq!(directory.sizes().turned_away, 50);
    // Pods of this node are never rejected.
    let own = directory.apply_pod(Source::NodePods, &pod("statefulset", 199), NOW);
    assert!(directory.local(PodUid(own)).is_some());
    assert_eq!(directory.sizes().turned_away, 50);
}

#[test]
fn a_restarted_container_is_known_by_its_former_id() {
    let mut directory = directory();
    let mut pod = pod("deployment", 1);
    let key = directory.apply_pod(Source::NodePods, &pod, NOW);
    let first = pod.status.container_statuses[0].container_id.clone();
    pod.status.container_statuses[0].container_id = format!("containerd://{:064x}", 7);
    directory.apply_pod(Source::NodePods, &pod, NOW);
    let local = directory.local(PodUid(key)).expect("known");
    for id in [first.as_str(), &format!("{:064x}", 7)] {
        let id = ContainerId::from_status(id).expect("an id");
        assert_eq!(local.containers.get(&id).map(String::as_str), Some("inventory"));
    }
}

#[test]
fn a_container_that_crashes_for_ever_does_not_fill_the_memory() {
    let mut directory = directory();
    let mut pod = pod("deployment", 1);
    for restart in 0..1_000 {
        pod.status.container_statuses[0].container_id = format!("containerd://{restart:064x}");
        directory.apply_pod(Source::NodePods, &pod, NOW);
    }
    let local = directory.local(PodUid(key_of(&pod.metadata))).expect("known");
    assert!(
        local.containers.len() <= 1 + FORMER_CONTAINERS,
        "{}",
        local.containers.len()
    );
    let newest = ContainerId::from_status(&format!("{:064x}", 999)).expect("an id");
    assert!(local.containers.contains_key(&newest));
}

#[test]
fn every_kind_of_object_has_a_bound() {
    let mut directory = directory();
    for n in 0..150 {
        let name = format!("x-{n}");
        directory.apply_service(&read(manifests::service(
            "shop",
            &name,
            &[],
            &[&format!("10.96.0.{n}")],
        )));
        directory.apply_namespace(read(manifests::namespace(&name, &[])));
        directory.apply_node(&read(manifests::node(&name, &[&format!("10.1.0.{n}")], "10.2.0.0/24")));
    }
    for source in [Source::Services, Source::Namespaces, Source::Nodes] {
        assert_eq!(directory.count(source), 100, "{source:?}");
    }
    assert_eq!(directory.sizes().turned_away, 150);
}

#[test]
fn of_a_namespace_only_what_is_about_a_mesh_is_kept() {
    let mut directory = directory();
    let mut namespace = manifests::namespace("shop", &[("istio.io/dataplane-mode", "ambient"), ("team", "shop")]);
    namespace["metadata"]["annotations"] = serde_json::json!({ "kuma.io/mesh": "blue", "last-applied": "long" });
    directory.apply_namespace(read(namespace));
    let kept = directory.namespace("shop").expect("it is known");
    let names = [&kept.labels, &kept.annotations].map(|map| map.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(names, [["istio.io/dataplane-mode"], ["kuma.io/mesh"]]);
}

#[test]
fn the_namespace_says_which_mesh_a_pod_is_in() {
    let mut directory = directory();
    let ambient = manifests::namespace("shop", &[("istio.io/dataplane-mode", "ambient")]);
    directory.apply_namespace(read(ambient));
    directory.apply_pod(Source::ClusterPods, &pod("deployment", 1), NOW);
    let Held::One(Identity::Workload(workload)) = directory.address("10.0.0.1".parse().expect("an address"), NOW, NOW)
    else {
        panic!("a workload")
    };
    assert!(
        workload.principal.starts_with("spiffe://cluster.local/ns/shop/sa/"),
        "{workload:?}"
    );
}

#[test]
fn a_new_trust_domain_makes_the_pods_be_read_again() {
    let mut directory = directory();
    directory.apply_pod(Source::ClusterPods, &pod("istio-sidecar", 1), NOW);
    let map = |domain: &str| ConfigMap {
        data: [("mesh".to_owned(), format!("trustDomain: {domain}\n"))].into(),
        ..ConfigMap::default()
    };
    directory.apply_config_map(&map("td.example")).expect("valid");
    assert!(directory.take_relist_pods() && !directory.take_relist_pods());
    directory.apply_config_map(&map("td.example")).expect("valid");
    assert!(!directory.take_relist_pods(), "nothing new");
    directory.apply_pod(Source::ClusterPods, &pod("istio-sidecar", 1), NOW);
    let Held::One(Identity::Workload(workload)) = directory.address("10.0.0.1".parse().expect("an address"), NOW, NOW)
    else {
        panic!("a workload")
    };
    assert!(workload.principal.starts_with("spiffe://td.example/"), "{workload:?}");
}

#[test]
fn the_nearest_label_names_the_waypoint() {
    let mut directory = directory();
    let namespace = |labels: &[(&str, &str)]| read(manifests::namespace("shop", labels));
    let mut named = pod("deployment", 1);
    let local = |directory: &mut Directory, pod: &Pod| {
        directory.apply_pod(Source::NodePods, pod, NOW);
        let uid = PodUid(key_of(&pod.metadata));
        directory.waypoints_of(&directory.local(uid).expect("it is of this node").clone())
    };
    assert!(local(&mut directory, &named).is_empty());
    directory.apply_namespace(namespace(&[("istio.io/use-waypoint", "of-all")]));
    assert_eq!(local(&mut directory, &named), ["shop/of-all"]);
    let mut service = manifests::service("shop", "inventory", &[("app", "inventory")], &["10.96.0.1"]);
    let label = |value: &mut Value, name: &str, with: &str| value["metadata"]["labels"][name] = with.into();
    label(&mut service, "istio.io/use-waypoint", "of-service");
    label(&mut service, "istio.io/use-waypoint-namespace", "gateways");
    directory.apply_service(&read(service.clone()));
    assert_eq!(local(&mut directory, &named), ["gateways/of-service"]);
    named
        .metadata
        .labels
        .insert("istio.io/use-waypoint".into(), "of-pod".into());
    assert_eq!(local(&mut directory, &named), ["gateways/of-service", "shop/of-pod"]);
    // Choosing no waypoint is a choice, too.
    named
        .metadata
        .labels
        .insert("istio.io/use-waypoint".into(), "none".into());
    let key = key_of(&read::<Service>(service).metadata);
    directory.delete(Source::Services, key, NOW);
    assert!(local(&mut directory, &named).is_empty());
}

#[test]
fn a_zone_egress_is_known_while_there_is_one() {
    let mut directory = directory();
    let egress = pod("kuma3-zone-egress", 1);
    directory.apply_pod(Source::ClusterPods, &egress, NOW);
    assert_eq!(directory.zone_egress().map(|point| point.kind), Some(Kind::ZoneEgress));
    directory.delete_pod(Source::ClusterPods, key_of(&egress.metadata), None, NOW);
    assert_eq!(directory.zone_egress(), None);
}

#[test]
fn nodes_that_cannot_run_an_agent_are_known_and_not_covered() {
    let setup = Setup {
        uncovered: vec!["type=virtual-kubelet".parse().expect("a condition")],
        ..directory().setup
    };
    let mut directory = Directory::new(setup, Vec::new());
    let mut put = |n: u32, labels: Value| {
        let node = serde_json::json!({
            "metadata": { "name": format!("n{n}"), "uid": format!("00000000-0000-4000-8000-{n:012}"), "labels": labels },
            "status": { "addresses": [{ "type": "InternalIP", "address": format!("192.168.0.{n}") }] },
        });
        directory.apply_node(&read(node));
        (directory.count(Source::Nodes), directory.covered_nodes())
    };
    assert_eq!(put(1, serde_json::json!({})), (1, 1));
    assert_eq!(put(2, serde_json::json!({ "type": "virtual-kubelet" })), (2, 1));
    // Labels of a node can change.
    assert_eq!(put(1, serde_json::json!({ "type": "virtual-kubelet" })), (2, 0));
    assert_eq!(put(1, serde_json::json!({ "type": "metal" })), (2, 1));
}
