//! The shape of objects that are no part of Kubernetes, and for which `kubernetes-validate` has no schema: every field that the manifests
//! may use, with its type. A field that is not here is an error, as the API server would drop it.

use super::manifests::everything;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The kinds that are looked at here.
pub const KINDS: [&str; 3] = ["PodMonitor", "PrometheusRule", "SecurityContextConstraints"];

#[test]
fn objects_of_other_projects_have_the_shape_that_these_define() {
    let mut seen = Vec::new();
    for object in everything() {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        if KINDS.contains(&&*kind) {
            check(&object).unwrap_or_else(|error| panic!("{kind}: {error}"));
            seen.push(kind);
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "PodMonitor",
            "PrometheusRule",
            "PrometheusRule",
            "SecurityContextConstraints"
        ]
    );
}

#[test]
fn mistakes_are_found() {
    let objects = everything();
    let changed = |kind: &str, pointer: &str, field: &str, value: Value| {
        let mut object = objects
            .iter()
            .find(|object| object["kind"] == kind)
            .expect("it is there")
            .clone();
        object.pointer_mut(pointer).expect("a place")[field] = value;
        check(&object).expect_err(field)
    };
    let endpoint = "/spec/podMetricsEndpoints/0";
    for (kind, pointer, field, value, named) in [
        (
            "PodMonitor",
            endpoint,
            "metricRelabeling",
            json!([]),
            "metricRelabeling",
        ),
        ("PodMonitor", endpoint, "interval", json!("15"), "duration"),
        (
            "PodMonitor",
            endpoint,
            "relabelings",
            json!([{ "action": "drops" }]),
            "drops",
        ),
        ("PodMonitor", "/spec", "sampleLimit", json!("1000"), "u64"),
        (
            "PrometheusRule",
            "/spec/groups/0/rules/0",
            "for",
            json!("five minutes"),
            "duration",
        ),
        (
            "PrometheusRule",
            "/spec/groups/0/rules/0",
            "record",
            json!("also_a:record"),
            "both",
        ),
        (
            "SecurityContextConstraints",
            "",
            "allowHostPID",
            json!("true"),
            "boolean",
        ),
        ("SecurityContextConstraints", "", "volumes", json!(["host"]), "host"),
    ] {
        let error = changed(kind, pointer, field, value);
        assert!(error.contains(named), "{field}: {error}");
    }
}

/// Whether the object has the shape of its kind.
fn check(object: &Value) -> Result<(), String> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("monitoring.coreos.com/v1"), Some("PodMonitor")) => read::<Object<PodMonitor>>(object).map(drop),
        (Some("monitoring.coreos.com/v1"), Some("PrometheusRule")) => {
            let rules = read::<Object<PrometheusRule>>(object)?
                .spec
                .groups
                .into_iter()
                .flat_map(|group| group.rules);
            for rule in rules {
                if rule.alert.is_some() == rule.record.is_some() {
                    return Err(format!("a rule is an alert or a record, not both or neither: {rule:?}"));
                }
            }
            Ok(())
        }
        (Some("security.openshift.io/v1"), Some("SecurityContextConstraints")) => read::<Constraints>(object).map(drop),
        other => Err(format!("no shape is known for {other:?}")),
    }
}

fn read<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    serde_json::from_value(object.clone()).map_err(|error| error.to_string())
}

/// The operator's `Duration`: `1h30m`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Duration;

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let valid = narrows::duration::parse(&text).is_ok() && text.ends_with(|last: char| last.is_alphabetic());
        valid.then_some(Self).ok_or(format!("{text:?} is no duration"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct Object<Spec> {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading it is the check")]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct PodMonitor {
    job_label: String,
    selector: Selector,
    sample_limit: u64,
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct Endpoint {
    port: String,
    path: String,
    interval: Duration,
    scrape_timeout: Duration,
    relabelings: Vec<Relabeling>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct Relabeling {
    source_labels: Option<Vec<String>>,
    target_label: Option<String>,
    regex: Option<String>,
    replacement: Option<String>,
    action: Option<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Replace,
    Keep,
    Drop,
    LabelDrop,
    LabelKeep,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrometheusRule {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading it is the check")]
struct Group {
    name: String,
    interval: Option<Duration>,
    limit: Option<u64>,
    query_offset: Option<Duration>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading most of it is the check")]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    r#for: Option<Duration>,
    keep_firing_for: Option<Duration>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// OpenShift's object has its fields beside `metadata`; those without an `Option` are required.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is the check")]
struct Constraints {
    api_version: String,
    kind: String,
    metadata: Metadata,
    allow_host_dir_volume_plugin: bool,
    #[serde(rename = "allowHostIPC")]
    allow_host_ipc: bool,
    allow_host_network: bool,
    #[serde(rename = "allowHostPID")]
    allow_host_pid: bool,
    allow_host_ports: bool,
    allow_privilege_escalation: Option<bool>,
    allow_privileged_container: bool,
    allowed_capabilities: Vec<String>,
    default_add_capabilities: Vec<String>,
    required_drop_capabilities: Vec<String>,
    read_only_root_filesystem: bool,
    fs_group: Strategy,
    run_as_user: Strategy,
    se_linux_context: Strategy,
    supplemental_groups: Strategy,
    seccomp_profiles: Vec<String>,
    users: Vec<String>,
    groups: Vec<String>,
    volumes: Vec<Volume>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading it is the check")]
struct Strategy {
    r#type: StrategyType,
}

#[derive(Debug, Deserialize)]
enum StrategyType {
    MustRunAs,
    MustRunAsNonRoot,
    RunAsAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Volume {
    ConfigMap,
    EmptyDir,
    HostPath,
    Projected,
    Secret,
}
