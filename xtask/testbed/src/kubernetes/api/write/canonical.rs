//! Objects as a real server stores them: with defaults, without members that are empty, quantities in their canonical form
//! (`SetDefaults_…` and the `omitempty` members of the API's types).

use serde_json::{Map, Value, json};

use super::kinds::Place;
use super::quantity;

/// Members that are not stored when they are `false`: those that are no pointers in the API's types.
const OMITTED_WHEN_FALSE: [&str; 6] = ["hostNetwork", "hostPID", "hostIPC", "readOnly", "stdin", "tty"];

/// Completes an object as it is stored.
pub(super) fn canonical(place: &Place, mut object: Value) -> Value {
    object["apiVersion"] = json!(place.version);
    object["kind"] = json!(place.kind);
    let metadata = &mut object["metadata"];
    if let Some(namespace) = &place.namespace {
        metadata["namespace"] = json!(namespace);
    }
    default(metadata, "creationTimestamp", json!("2026-11-25T00:00:00Z"));
    match place.kind {
        "Namespace" => {
            let name = metadata["name"].clone();
            default(&mut metadata["labels"], "kubernetes.io/metadata.name", name);
            default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            default(&mut object["status"], "phase", json!("Active"));
        }
        "ResourceQuota" => quantities(&mut object["spec"]["hard"]),
        "DaemonSet" => daemon_set(&mut object),
        "ClusterRoleBinding" | "RoleBinding" => {
            default(&mut object["roleRef"], "apiGroup", json!("rbac.authorization.k8s.io"));
        }
        _ => {}
    }
    omit(&mut object);
    object
}

/// Sets a member that is absent.
fn default(object: &mut Value, member: &str, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let Some(map) = object.as_object_mut() {
        map.entry(member).or_insert(value);
    }
}

fn defaults(object: &mut Value, values: Value) {
    if let Value::Object(values) = values {
        for (member, value) in values {
            default(object, &member, value);
        }
    }
}

fn daemon_set(object: &mut Value) {
    let template = &object["spec"]["template"]["metadata"]["labels"];
    let selector = json!({"matchLabels": template});
    let spec = &mut object["spec"];
    defaults(
        spec,
        json!({"revisionHistoryLimit": 10, "selector": selector, "updateStrategy": {}}),
    );
    default(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
    let rolling = &mut spec["updateStrategy"]["rollingUpdate"];
    defaults(rolling, json!({"maxUnavailable": 1, "maxSurge": 0}));
    pod(&mut spec["template"]["spec"]);
}

fn pod(spec: &mut Value) {
    defaults(
        spec,
        json!({
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30,
        }),
    );
    // The former name, which is kept equal.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default(spec, "serviceAccount", account);
    }
    for container in items(spec, "containers") {
        self::container(container);
    }
    for volume in items(spec, "volumes") {
        if let Some(path) = volume.get_mut("hostPath") {
            default(path, "type", json!(""));
        }
        for source in ["configMap", "secret"] {
            if let Some(source) = volume.get_mut(source) {
                default(source, "defaultMode", json!(0o644));
            }
        }
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_moving = !image.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    let policy = if is_moving { "Always" } else { "IfNotPresent" };
    defaults(
        container,
        json!({
            "imagePullPolicy": policy, "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }),
    );
    for kind in ["limits", "requests"] {
        if let Some(amounts) = container["resources"].get_mut(kind) {
            quantities(amounts);
        }
    }
    for port in items(container, "ports") {
        default(port, "protocol", json!("TCP"));
    }
    for variable in items(container, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef")) {
            default(field, "apiVersion", json!("v1"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe) else {
            continue;
        };
        defaults(
            probe,
            json!({"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}),
        );
        if let Some(get) = probe.get_mut("httpGet") {
            defaults(get, json!({"path": "/", "scheme": "HTTP"}));
        }
    }
}

fn items<'a>(object: &'a mut Value, member: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(member)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn quantities(amounts: &mut Value) {
    for amount in amounts.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let text = match &*amount {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let Some(stored) = quantity::canonical(&text) {
            *amount = json!(stored);
        }
    }
}

/// Removes `null`, and what is not stored when it is false or empty.
fn omit(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| match value {
                Value::Null => false,
                Value::Bool(false) => !OMITTED_WHEN_FALSE.contains(&name.as_str()),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            });
            map.values_mut().for_each(omit);
        }
        Value::Array(items) => items.iter_mut().for_each(omit),
        _ => {}
    }
}
