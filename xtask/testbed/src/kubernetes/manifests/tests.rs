use std::collections::HashSet;
use std::panic::catch_unwind;

use super::*;

fn strings<'a>(pod: &'a Value, key: &str) -> Vec<&'a str> {
    let entries = pod["metadata"][key].as_object().into_iter().flatten();
    entries
        .map(|(name, value)| value.as_str().unwrap_or_else(|| panic!("{key} {name} is no string")))
        .collect()
}

fn list<'a>(pod: &'a Value, part: &str, key: &str) -> impl Iterator<Item = &'a Value> {
    pod[part][key].as_array().into_iter().flatten()
}

#[test]
fn every_manifest_is_a_running_pod_of_its_own() {
    let (mut uids, mut ids) = (HashSet::new(), HashSet::new());
    for name in ALL {
        let pod = pod(name);
        assert_eq!(
            (&pod["kind"], &pod["status"]["phase"]),
            (&"Pod".into(), &"Running".into())
        );
        assert!(
            uids.insert(pod["metadata"]["uid"].as_str().map(str::to_owned)),
            "{name}"
        );
        let _all_strings = (strings(&pod, "labels"), strings(&pod, "annotations"));
        // An API server refuses a mirror pod that has a service account, and gives one to every other pod.
        let is_mirror = pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string();
        let has_account = pod["spec"]["serviceAccountName"].is_string();
        assert!(
            pod["spec"]["nodeName"].is_string() && has_account != is_mirror,
            "{name}"
        );
        assert_eq!(pod["status"]["podIP"], pod["status"]["podIPs"][0]["ip"], "{name}");
        let host = pod["spec"]["hostNetwork"] == true;
        assert_eq!(host, pod["status"]["podIP"] == pod["status"]["hostIP"], "{name}");
        for (spec, status) in [
            ("initContainers", "initContainerStatuses"),
            ("containers", "containerStatuses"),
        ] {
            let asked: Vec<_> = list(&pod, "spec", spec).map(|container| &container["name"]).collect();
            let there: Vec<_> = list(&pod, "status", status)
                .map(|container| &container["name"])
                .collect();
            assert_eq!(asked, there, "{name}");
            for (container, status) in list(&pod, "spec", spec).zip(list(&pod, "status", status)) {
                let stays = spec == "containers" || container["restartPolicy"] == "Always";
                assert_eq!(status["state"]["running"]["startedAt"].is_string(), stays, "{name}");
                let id = status["containerID"].as_str().unwrap_or_default();
                let hex = id.strip_prefix("containerd://").unwrap_or_default();
                assert!(
                    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "{name}"
                );
                assert!(ids.insert(id.to_owned()), "{name}");
                for variable in container["env"].as_array().into_iter().flatten() {
                    assert!(variable["value"].is_null() || variable["value"].is_string(), "{name}");
                }
            }
        }
        let owners = list(&pod, "metadata", "ownerReferences").collect::<Vec<_>>();
        assert!(owners.iter().all(|owner| owner["controller"] == true));
        assert_eq!(owners.is_empty(), *name == "bare");
    }
}

#[test]
fn every_file_is_in_the_table() -> std::io::Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kubernetes/manifests");
    let mut files: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        files.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    let (files, table): (HashSet<&str>, HashSet<&str>) = (
        files.iter().map(String::as_str).collect(),
        ALL.iter().copied().collect(),
    );
    assert_eq!(files, table);
    Ok(())
}

#[test]
fn an_unknown_name_is_told_what_there_is() {
    let panic = catch_unwind(|| pod("nginx")).expect_err("there is no nginx");
    let text = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    assert!(text.contains("nginx") && text.contains("istio-ztunnel"), "{text}");
}

#[test]
fn a_pod_can_be_made_another() {
    let changed = Pod::of("bare")
        .named("shop", "till")
        .uid("7a0c3b52-4a9e-4a52-9d3f-2f4f6a3f1b11")
        .node("node-7")
        .ip(&["10.90.0.11", "fd00:90::11"])
        .container_id("debug", "cri-o://abc")
        .label("app", "till")
        .annotation("note", "made up")
        .owner("StatefulSet", "till")
        .started("2026-11-16T10:00:00Z")
        .into_value();
    assert_eq!(changed["metadata"]["namespace"], "shop");
    assert_eq!(changed["metadata"]["name"], "till");
    assert_eq!(changed["metadata"]["labels"]["app"], "till");
    assert_eq!(changed["metadata"]["annotations"]["note"], "made up");
    assert_eq!(changed["metadata"]["ownerReferences"][0]["apiVersion"], "apps/v1");
    assert_eq!(changed["spec"]["nodeName"], "node-7");
    assert_eq!(changed["status"]["podIP"], "10.90.0.11");
    assert_eq!(changed["status"]["podIPs"][1]["ip"], "fd00:90::11");
    let container = &changed["status"]["containerStatuses"][0];
    assert_eq!(container["containerID"], "cri-o://abc");
    assert_eq!(container["state"]["running"]["startedAt"], "2026-11-16T10:00:00Z");
    assert!(Pod(changed).ip(&[]).into_value()["status"].get("podIP").is_none());
}

#[test]
fn a_pod_can_end() {
    let native = Pod::of("istio-sidecar-native").deleting("2026-11-16T10:00:00Z");
    assert_eq!(native.0["metadata"]["deletionGracePeriodSeconds"], 30);
    let ended = native.finished("2026-11-16T10:00:20Z").into_value();
    assert_eq!(ended["status"]["phase"], "Succeeded");
    let ends = |list: &str, at: usize| ended["status"][list][at]["state"]["terminated"]["finishedAt"].clone();
    assert_eq!(ends("containerStatuses", 0), "2026-11-16T10:00:20Z");
    assert_eq!(ends("initContainerStatuses", 1), "2026-11-16T10:00:20Z");
    assert_eq!(
        ends("initContainerStatuses", 0),
        "2026-11-16T09:00:03Z",
        "it ended long ago"
    );
}

#[test]
fn other_objects_have_what_an_agent_reads() {
    let service = service("shop", "cart", &[("app", "cart")], &["10.96.0.7", "fd00:96::7"]);
    assert_eq!(service["spec"]["selector"]["app"], "cart");
    assert_eq!(service["spec"]["clusterIPs"][1], "fd00:96::7");
    assert_eq!(super::service("shop", "db", &[], &[])["spec"]["clusterIP"], "None");
    let namespace = namespace("shop", &[("istio.io/dataplane-mode", "ambient")]);
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    let node = node("worker-1", &["172.18.0.3"], "10.244.1.0/24");
    assert_eq!(node["spec"]["podCIDR"], "10.244.1.0/24");
    assert_eq!(node["status"]["addresses"][0]["address"], "172.18.0.3");
}
