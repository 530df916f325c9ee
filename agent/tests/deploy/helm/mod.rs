//! The Helm chart: it gives the same objects as kustomize, refuses values that it does not know, and can be packaged.

mod configurations;

use super::manifests::{base, components, deploy, of_kind, overlay};
use configurations::{Configuration, configurations};
use narrows_testbed::{command, tools::tool};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn chart_and_kustomize_give_the_same_objects() {
    for Configuration {
        name,
        components,
        overlay: more,
        mut values,
    } in configurations()
    {
        let of_kustomize = by_name(overlay(components, more));
        values["namespace"] = json!({ "create": true });
        let of_chart = by_name(render(&values, "narrows"));
        assert_eq!(
            of_chart.keys().collect::<Vec<_>>(),
            of_kustomize.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (key, object) in &of_kustomize {
            assert_eq!(of_chart[key], *object, "{name}: {key:?}");
        }
    }
}

#[test]
fn every_component_is_compared() {
    let compared: BTreeSet<_> = configurations().iter().flat_map(|it| it.components).copied().collect();
    assert_eq!(compared.into_iter().collect::<Vec<_>>(), components());
}

#[test]
fn without_any_value_only_the_namespace_is_missing() {
    let mut base = base();
    base.retain(|object| object["kind"] != "Namespace");
    assert_eq!(by_name(render(&json!({}), "narrows")), by_name(base));
}

#[test]
fn in_another_namespace_nothing_is_left_of_the_manifests_own() {
    for Configuration { name, mut values, .. } in configurations() {
        values["namespace"] = json!({ "create": true });
        for object in render(&values, "observability") {
            let kind = &object["kind"];
            let namespace = object["metadata"]["namespace"].as_str();
            assert!(
                matches!(namespace, None | Some("observability" | "istio-system")),
                "{name}: {kind} in {namespace:?}"
            );
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], "observability", "{name}: {kind}");
            }
            if kind == "Namespace" {
                assert_eq!(object["metadata"]["name"], "observability", "{name}");
            }
        }
    }
}

#[test]
fn values_that_no_kustomization_has_arrive() {
    let values = json!({
        "image": { "repository": "narrows", "pullPolicy": "Always" },
        "imagePullSecrets": [{ "name": "registry" }],
        "env": [{ "name": "RUST_LOG", "value": "debug" }],
        "tolerations": [],
        "podMonitor": { "enabled": true, "interval": "30s", "scrapeTimeout": "20s", "sampleLimit": 2_000_000 },
        "seccomp": { "type": "Localhost" },
        "report": { "enabled": true, "schedule": "0 0 * * 0", "window": "7d", "keepDays": 30, "prometheus": "https://p", "storage": "5Gi" },
    });
    let objects = render(&values, "narrows");
    let only = |kind: &str| of_kind(&objects, kind)[0].clone();
    let pod = only("DaemonSet")["spec"]["template"]["spec"].clone();
    let job = only("CronJob")["spec"].clone();
    for pod in [&pod, &job["jobTemplate"]["spec"]["template"]["spec"]] {
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
        for container in [&pod["containers"], &pod["initContainers"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
        {
            assert_eq!(
                (&container["imagePullPolicy"], &container["image"]),
                (&json!("Always"), &json!("narrows:0.1.0"))
            );
        }
    }
    let env = pod["containers"][0]["env"].as_array().expect("variables");
    assert_eq!(env.last(), Some(&values["env"][0]));
    // An empty list is no value: it would take the agent from every node with a taint.
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    let monitor = only("PodMonitor")["spec"].clone();
    assert_eq!(monitor["sampleLimit"], 2_000_000);
    let endpoint = &monitor["podMetricsEndpoints"][0];
    assert_eq!(
        (&endpoint["interval"], &endpoint["scrapeTimeout"]),
        (&json!("30s"), &json!("20s"))
    );
    assert_eq!(job["schedule"], "0 0 * * 0");
    let env = &job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"];
    let expected = json!([
        { "name": "PROMETHEUS", "value": "https://p" },
        { "name": "WINDOW", "value": "7d" },
        { "name": "KEEP_DAYS", "value": "30" },
    ]);
    assert_eq!(*env, expected);
    assert_eq!(
        only("PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"],
        "5Gi"
    );
}

#[test]
fn alerts_link_to_the_installations_own_pages() {
    let values = json!({ "prometheusRule": {
        "enabled": true,
        "runbookUrl": "https://git.example.com/runbooks",
        "dashboardUrl": "https://grafana.example.com/d",
    } });
    let objects = render(&values, "narrows");
    let mut links = 0;
    for rule in of_kind(&objects, "PrometheusRule") {
        assert!(
            !rule.to_string().contains("narrows.example"),
            "{}",
            rule["metadata"]["name"]
        );
        let groups = rule["spec"]["groups"].as_array().expect("groups");
        for alert in groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"))
        {
            if let Some(url) = alert["annotations"]["runbook_url"].as_str() {
                assert!(url.starts_with("https://git.example.com/runbooks/"), "{url}");
                links += 1;
            }
        }
    }
    assert!(links > 10, "{links}");
}

#[test]
fn another_configuration_has_another_name_to_which_the_pods_go_over() {
    let name = |config: &str| {
        let objects = render(&json!({ "config": config }), "narrows");
        let map = of_kind(&objects, "ConfigMap")[0]["metadata"]["name"].clone();
        let volumes = of_kind(&objects, "DaemonSet")[0]["spec"]["template"]["spec"]["volumes"].clone();
        assert!(
            volumes
                .as_array()
                .expect("volumes")
                .contains(&json!({ "name": "config", "configMap": { "name": map } }))
        );
        map
    };
    assert_ne!(name("interval: 2s\n"), name("interval: 3s\n"));
    assert_eq!(
        name(""),
        name(&fs::read_to_string(deploy().join("kubernetes/config.yaml")).expect("a file"))
    );
}

#[test]
fn what_reports_have_been_kept_stays_when_the_release_goes() {
    let objects = render(&json!({ "report": { "enabled": true } }), "narrows");
    for object in &objects {
        let keep = object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
        assert_eq!(keep, object["kind"] == "PersistentVolumeClaim", "{}", object["kind"]);
    }
}

#[test]
fn a_value_that_the_chart_does_not_know_is_an_error_that_names_it() {
    for (values, named) in [
        (json!({ "podMonitors": { "enabled": true } }), "podMonitors"),
        (json!({ "podMonitor": { "enable": true } }), "enable"),
        (json!({ "seccomp": { "type": "runtime/default" } }), "/seccomp/type"),
        (
            json!({ "report": { "prometheus": "prometheus:9090" } }),
            "/report/prometheus",
        ),
        (json!({ "image": { "repository": "" } }), "/image/repository"),
    ] {
        let output = helm(&chart(), &values, "narrows", &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(named), "{values}: {error}");
    }
}

#[test]
fn every_value_is_described_and_every_description_is_of_a_value() {
    let text = fs::read_to_string(chart().join("values.yaml")).expect("values");
    let values: Value = serde_saphyr::from_str(&text).expect("YAML");
    let schema = fs::read_to_string(chart().join("values.schema.json")).expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let mut allowed = paths(&schema, "properties");
    allowed.retain(|path| path != "global" && !path.starts_with("resources."));
    assert_eq!(allowed, value_paths(&values));
    // Each has a comment above it, its own or its group's.
    let lines: Vec<_> = text.lines().collect();
    for (n, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with(|it: char| it.is_alphabetic()))
    {
        let commented = |line: Option<&&str>| line.is_some_and(|line| line.trim_start().starts_with('#'));
        assert!(commented(lines[..n].last()) || commented(lines.get(n + 1)), "{line}");
    }
}

#[test]
fn the_package_needs_nothing_from_outside_and_fits_into_a_release() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    let output = helm(&chart(), &json!({}), "narrows", &["--package", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archive: PathBuf = serde_json::from_slice(&output.stdout).expect("a path");
    let all = json!({ "prometheusRule": { "enabled": true }, "dashboards": { "enabled": true }, "seccomp": { "type": "Localhost" } });
    let packaged = objects(&helm(&archive, &all, "narrows", &[]));
    assert_eq!(by_name(packaged), by_name(render(&all, "narrows")));
    // Helm keeps the chart and what it rendered in a Secret, compressed: at most 1 MiB, in base64.
    let size = fs::metadata(&archive).expect("an archive").len();
    assert!(size < 200_000, "{size} bytes");
}

#[test]
fn a_chart_without_what_its_links_point_to_says_so() {
    let copy = tempfile::tempdir().expect("a directory");
    let copy = copy.path().join("narrows");
    fs::create_dir_all(copy.join("templates")).expect("made");
    for directory in ["", "templates"] {
        for entry in fs::read_dir(chart().join(directory))
            .expect("a chart")
            .map(|entry| entry.expect("an entry"))
        {
            if entry.file_type().expect("a type").is_file() {
                fs::copy(entry.path(), copy.join(directory).join(entry.file_name())).expect("copied");
            }
        }
    }
    let output = helm(&copy, &json!({}), "narrows", &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("helm package deploy/helm/narrows"),
        "{error}"
    );
}

#[test]
fn the_chart_has_the_agents_version() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("a chart");
    let about: Value = serde_saphyr::from_str(&text).expect("YAML");
    for field in ["version", "appVersion"] {
        assert_eq!(about[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
}

fn chart() -> PathBuf {
    deploy().join("helm/narrows")
}

/// Helm, on a chart's directory or archive.
fn helm(chart: &Path, values: &Value, namespace: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/helm/render.py");
    let options = json!({ "name": "narrows", "namespace": namespace });
    let mut python = Command::new(tool("helm-python").expect("Helm's library"));
    python
        .arg(script)
        .arg(chart)
        .args([values.to_string(), options.to_string()])
        .args(arguments);
    command::output(&mut python).expect("it starts")
}

/// The objects that the chart gives.
#[track_caller]
fn render(values: &Value, namespace: &str) -> Vec<Value> {
    objects(&helm(&chart(), values, namespace, &[]))
}

#[track_caller]
fn objects(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files: BTreeMap<String, String> = serde_json::from_slice(&output.stdout).expect("JSON");
    let manifests = files.iter().filter(|(path, _)| path.ends_with(".yaml"));
    let objects = manifests.flat_map(|(_, text)| serde_saphyr::from_multiple::<Value>(text).expect("YAML"));
    objects.filter(|object| !object.is_null()).collect()
}

/// The objects by kind, namespace and name, with variables and volumes in the order of their names: to Kubernetes they are sets, and
/// kustomize puts first what a patch adds.
fn by_name(objects: Vec<Value>) -> BTreeMap<[String; 3], Value> {
    let mut by_name = BTreeMap::new();
    for mut object in objects {
        sort(&mut object);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text);
        let twice = by_name.insert(key.clone(), object);
        assert_eq!(twice, None, "{key:?}");
    }
    by_name
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (Value::Array(list), "env" | "volumes" | "ports") = (&mut *field, name.as_str()) {
                    list.sort_by_key(|item| item["name"].to_string());
                }
                sort(field);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(sort),
        _ => {}
    }
}

/// The paths of all fields below `properties` of a schema.
fn paths(schema: &Value, properties: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, field) in schema[properties].as_object().into_iter().flatten() {
        let below = paths(field, properties);
        found.extend(below.iter().map(|path| format!("{name}.{path}")));
        if below.is_empty() || name == "resources" {
            found.insert(name.clone());
        }
    }
    found
}

/// The paths of all fields of values.
fn value_paths(values: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in values.as_object().into_iter().flatten() {
        let below = value_paths(value);
        found.extend(below.iter().map(|path| format!("{name}.{path}")));
        if below.is_empty() {
            found.insert(name.clone());
        }
    }
    found
}
