//! What Prometheus and Grafana are given: the rules and dashboards of the repository, and targets that are called after their nodes.

use super::manifests::{deploy, of_kind, only, pod, selects, succeed, with};
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// The most that `kubectl apply` can keep of an object in its annotation `last-applied-configuration`: all annotations together have
/// 256 KiB.
const LAST_APPLIED: usize = 262_144;

#[test]
fn the_prometheus_rules_are_the_rule_files() {
    let objects = with(&["prometheus-rule"]);
    let rules = of_kind(&objects, "PrometheusRule");
    assert_eq!(rules.len(), 2);
    for rule in rules {
        let name = rule["metadata"]["name"]
            .as_str()
            .and_then(|name| name.strip_prefix("narrows-"))
            .expect("a name");
        let file = deploy().join(format!("prometheus/{name}.yaml"));
        let file: Value = serde_saphyr::from_str(&fs::read_to_string(file).expect("a file")).expect("YAML");
        assert_eq!(rule["spec"], file, "{name}: run `cargo xtask docs`");
    }
}

#[test]
fn each_dashboard_has_a_config_map_that_grafana_finds() {
    let objects = with(&["dashboards"]);
    let maps = of_kind(&objects, "ConfigMap");
    let mut found = BTreeSet::new();
    for map in maps
        .iter()
        .filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1")
    {
        let data = map["data"].as_object().expect("data");
        assert_eq!(data.len(), 1);
        for (file, text) in data {
            let original = fs::read_to_string(deploy().join("grafana").join(file)).expect("a dashboard");
            assert_eq!(*text, original, "{file}");
            found.insert(file.clone());
        }
        assert!(map.to_string().len() < LAST_APPLIED, "{}", map["metadata"]["name"]);
    }
    let entries = fs::read_dir(deploy().join("grafana")).expect("dashboards");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    assert_eq!(found, names.filter(|name| name.ends_with(".json")).collect());
}

#[test]
fn every_object_can_be_applied() {
    for object in super::manifests::everything() {
        assert!(
            object.to_string().len() < LAST_APPLIED,
            "{} {}",
            object["kind"],
            object["metadata"]["name"]
        );
    }
}

#[test]
fn the_pod_monitor_finds_the_agents() {
    let objects = with(&["pod-monitor"]);
    let monitor = only(&objects, "PodMonitor");
    assert_eq!(
        monitor["metadata"]["namespace"],
        only(&objects, "DaemonSet")["metadata"]["namespace"]
    );
    assert!(selects(
        &monitor["spec"]["selector"],
        &pod(&objects)["metadata"]["labels"]
    ));
    let endpoints = monitor["spec"]["podMetricsEndpoints"].as_array().expect("endpoints");
    assert_eq!(endpoints.len(), 1);
    assert_eq!(
        (&endpoints[0]["port"], &endpoints[0]["path"]),
        (&json!("metrics"), &json!("/metrics"))
    );
    let job = monitor["spec"]["jobLabel"].as_str().expect("a label");
    assert_eq!(pod(&objects)["metadata"]["labels"][job], "narrows");
    let annotations = &pod(&objects)["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], "false", "not twice");
}

#[test]
fn a_target_is_called_after_its_node_before_and_after_a_rollout() {
    let objects = with(&["pod-monitor"]);
    let endpoint = &only(&objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    // As the operator and Prometheus' discovery label the target before the monitor's own rules.
    let target = |pod: &str, address: &str| {
        let labels = [
            ("__address__", address),
            ("__meta_kubernetes_pod_node_name", "worker-7"),
            ("__meta_kubernetes_pod_name", pod),
            ("job", "narrows"),
            ("namespace", "narrows"),
            ("pod", pod),
            ("container", "narrows"),
            ("endpoint", "metrics"),
            ("instance", address),
        ];
        let mut labels: BTreeMap<_, _> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for rule in endpoint["relabelings"].as_array().expect("rules") {
            relabel(rule, &mut labels);
        }
        labels.retain(|name, _| !name.starts_with("__"));
        labels
    };
    let expected = [
        ("instance", "worker-7"),
        ("job", "narrows"),
        ("namespace", "narrows"),
        ("node", "worker-7"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(target("narrows-x7k2p", "10.0.7.31:9797"), expected);
    assert_eq!(target("narrows-9qd4z", "10.0.7.44:9797"), expected);
}

/// What Prometheus does with a target's labels by a rule of the two kinds that are used.
fn relabel(rule: &Value, labels: &mut BTreeMap<String, String>) {
    match rule["action"].as_str() {
        Some("labeldrop") => {
            let names: Vec<_> = rule["regex"].as_str().expect("names").split('|').collect();
            assert!(
                names.iter().all(|name| name.chars().all(|it| it.is_ascii_lowercase())),
                "names only"
            );
            labels.retain(|name, _| !names.contains(&name.as_str()));
        }
        None => {
            let from = rule["sourceLabels"].as_array().expect("a source");
            let [from] = &from[..] else {
                panic!("one source is known here: {rule}")
            };
            let value = labels[from.as_str().expect("a name")].clone();
            labels.insert(rule["targetLabel"].as_str().expect("a name").to_owned(), value);
        }
        Some(action) => panic!("not known here: {action}"),
    }
}

#[test]
fn the_release_label_is_on_all_that_the_operator_reads_and_on_nothing_else() {
    let objects = super::manifests::everything();
    for object in &objects {
        let is_the_operators = object["apiVersion"] == "monitoring.coreos.com/v1";
        let label = &object["metadata"]["labels"]["release"];
        assert_eq!(label == "kube-prometheus-stack", is_the_operators, "{}", object["kind"]);
    }
    assert_eq!(
        objects
            .iter()
            .filter(|object| object["apiVersion"] == "monitoring.coreos.com/v1")
            .count(),
        3
    );
}

/// The job of a file, which is valid to Prometheus.
fn job(file: &str) -> Value {
    let text = fs::read_to_string(deploy().join("prometheus").join(file)).expect("a file");
    let mut file: Value = serde_saphyr::from_str(&text).expect("YAML");
    let job = file["scrape_configs"][0].clone();
    // Debian's Prometheus is built without this way to find targets.
    let known = file["scrape_configs"][0].as_object_mut().expect("a job");
    known.remove("kubernetes_sd_configs");
    let config = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    fs::write(config.path(), file.to_string()).expect("it can be written");
    let mut promtool = Command::new(tool("promtool").expect("promtool"));
    succeed(promtool.args(["check", "config"]).arg(config.path()));
    assert_eq!(job["job_name"], "narrows");
    // The bounds are those of the pod monitor.
    let objects = with(&["pod-monitor"]);
    let monitor = &only(&objects, "PodMonitor")["spec"];
    let endpoint = &monitor["podMetricsEndpoints"][0];
    assert_eq!(
        (&job["scrape_interval"], &job["scrape_timeout"], &job["sample_limit"]),
        (
            &endpoint["interval"],
            &endpoint["scrapeTimeout"],
            &monitor["sampleLimit"]
        )
    );
    job
}

#[test]
fn without_kubernetes_each_node_is_a_target_of_its_own() {
    let job = job("scrape.yaml");
    let mut instances = BTreeSet::new();
    let targets = job["static_configs"].as_array().expect("targets");
    for target in targets {
        assert_eq!(
            target["targets"].as_array().map(Vec::len),
            Some(1),
            "labels are of one node"
        );
        let labels = &target["labels"];
        assert!(
            labels["node"].is_string() && labels["node"] == labels["instance"],
            "{labels}"
        );
        assert!(instances.insert(labels["instance"].to_string()), "{labels} twice");
    }
    assert!(targets.len() > 1, "an example for several nodes");
}

#[test]
fn without_the_operator_targets_are_found_and_called_as_with_it() {
    let job = job("scrape-kubernetes.yaml");
    let objects = with(&["pod-monitor"]);
    let namespace = &only(&objects, "DaemonSet")["metadata"]["namespace"];
    assert_eq!(
        job["kubernetes_sd_configs"][0]["namespaces"]["names"],
        json!([namespace])
    );
    let (kept, named): (Vec<_>, Vec<_>) = job["relabel_configs"]
        .as_array()
        .expect("rules")
        .iter()
        .partition(|rule| rule["action"] == "keep");
    let component = &pod(&objects)["metadata"]["labels"]["app.kubernetes.io/component"];
    let port = &super::manifests::container(&objects)["ports"][0]["name"];
    let regex = format!("{};{}", component.as_str().expect("text"), port.as_str().expect("text"));
    assert_eq!(
        kept.iter().map(|rule| &rule["regex"]).collect::<Vec<_>>(),
        [&json!(regex)]
    );
    let mut labels: Vec<_> = named
        .iter()
        .map(|rule| (rule["target_label"].as_str(), rule["source_labels"][0].as_str()))
        .collect();
    labels.sort_unstable();
    let node = Some("__meta_kubernetes_pod_node_name");
    let namespace = Some("__meta_kubernetes_namespace");
    assert_eq!(
        labels,
        [
            (Some("instance"), node),
            (Some("namespace"), namespace),
            (Some("node"), node)
        ]
    );
}
