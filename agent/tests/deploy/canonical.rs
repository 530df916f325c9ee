//! The manifests are written as the API server stores them. Where they are not, `kubectl apply` finds a difference each time, and a
//! server-side apply after a plain one finds two owners of a field.

use super::manifests::{build, deploy, everything, of_kind, only, succeed};
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{fs, process::Command};

/// The image that kubectl is told to set, as it prints nothing when nothing changes.
const IMAGE: &str = "another:1";

#[test]
fn what_has_pods_is_written_as_kubernetes_own_types_write_it() {
    let mut objects = everything();
    objects.extend(build(&deploy().join("kubernetes-example")));
    let mut seen = 0;
    for object in objects {
        if ["DaemonSet", "CronJob"].contains(&object["kind"].as_str().expect("a kind")) {
            assert_eq!(
                through_kubernetes_types(&object),
                with_image(object.clone()),
                "{}",
                object["kind"]
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn other_forms_are_found() {
    let objects = everything();
    let set = only(&objects, "DaemonSet");
    // Each is valid, means the same, and is stored in another form.
    for (path, value) in [
        ("/spec/template/spec/hostNetwork", json!(false)),
        ("/spec/template/spec/hostIPC", json!(false)),
        ("/spec/template/spec/imagePullSecrets", json!([])),
        ("/spec/template/spec/containers/0/stdin", json!(false)),
        ("/spec/template/spec/containers/0/workingDir", json!("")),
        ("/spec/template/spec/containers/0/volumeMounts/2/readOnly", json!(false)),
        ("/spec/template/spec/containers/0/resources/requests/cpu", json!("0.05")),
        (
            "/spec/template/spec/containers/0/resources/limits/memory",
            json!("0.25Gi"),
        ),
    ] {
        let mut other = set.clone();
        let (parent, field) = path.rsplit_once('/').expect("a path");
        other.pointer_mut(parent).expect("it exists")[field] = value;
        assert_ne!(through_kubernetes_types(&other), with_image(other.clone()), "{path}");
    }
}

#[test]
fn quantities_outside_of_pods_are_written_as_kubernetes_writes_them() {
    let objects = super::manifests::with(&["report"]);
    let hard = &only(&objects, "ResourceQuota")["spec"]["hard"];
    let mut quota = kubectl();
    quota.args(["create", "quota", "narrows", "--dry-run=client", "--output=json"]);
    for (name, quantity) in hard.as_object().expect("quantities") {
        quota.arg(format!("--hard={name}={}", quantity.as_str().expect("text")));
    }
    assert_eq!(json(&mut quota)["spec"]["hard"], *hard);

    // kubectl reads claims into Kubernetes' types only as a part of something that has pods.
    let claim = only(&objects, "PersistentVolumeClaim");
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "claims" },
        "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "serviceName": "claims",
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "a", "image": "a:1" }] } },
            "volumeClaimTemplates": [{ "metadata": { "name": "reports" }, "spec": claim["spec"] }],
        },
    });
    assert_eq!(
        through_kubernetes_types(&set)["spec"]["volumeClaimTemplates"][0]["spec"],
        claim["spec"]
    );
}

#[test]
fn keys_of_lists_that_the_server_would_complete_are_written() {
    let mut objects = everything();
    assert_eq!(incomplete(&json!(objects)), Vec::<String>::new());
    let set = objects
        .iter_mut()
        .find(|object| object["kind"] == "DaemonSet")
        .expect("it is there");
    let container = &mut set["spec"]["template"]["spec"]["containers"][0];
    container["ports"][0]
        .as_object_mut()
        .expect("a port")
        .remove("protocol");
    let mut variables = container["env"].as_array_mut().expect("variables").iter_mut();
    let node = variables
        .find(|variable| variable["name"] == "NARROWS_NODE")
        .expect("it is there");
    node["valueFrom"]["fieldRef"]
        .as_object_mut()
        .expect("a field")
        .remove("apiVersion");
    let mut found = incomplete(&json!(objects));
    found.sort();
    assert_eq!(found, ["apiVersion of a fieldRef", "protocol of a port"]);
}

#[test]
fn nothing_is_written_that_the_server_does_not_store() {
    fn look(value: &Value, path: &str) {
        match value {
            Value::Null => panic!("{path} is null"),
            Value::Object(fields) => fields
                .iter()
                .for_each(|(name, field)| look(field, &format!("{path}.{name}"))),
            Value::Array(list) => list.iter().for_each(|item| look(item, path)),
            _ => {}
        }
    }
    for object in everything() {
        look(&object, object["kind"].as_str().expect("a kind"));
        assert!(object["status"].is_null() && object["metadata"]["creationTimestamp"].is_null());
    }
    // The core group has no name: the server leaves the field out.
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        for binding in of_kind(&everything(), kind) {
            for subject in binding["subjects"].as_array().expect("subjects") {
                assert!(subject.get("apiGroup").is_none(), "{kind}");
            }
            assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io", "{kind}");
        }
    }
}

/// What is missing in lists whose entries the API server tells apart by a field with a default, and in references to fields.
fn incomplete(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "ports" {
                    let ports = field.as_array().into_iter().flatten();
                    found.extend(
                        ports
                            .filter(|port| port["protocol"].is_null())
                            .map(|_| "protocol of a port".to_owned()),
                    );
                }
                if name == "fieldRef" && field["apiVersion"] != "v1" {
                    found.push("apiVersion of a fieldRef".to_owned());
                }
                found.extend(incomplete(field));
            }
        }
        Value::Array(list) => found.extend(list.iter().flat_map(incomplete)),
        _ => {}
    }
    found
}

/// The object after kubectl has read it into the types of Kubernetes' API, set all images, and written it. The types, their defaults
/// left out, are those by which the API server stores objects.
fn through_kubernetes_types(object: &Value) -> Value {
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    fs::write(file.path(), object.to_string()).expect("it can be written");
    let mut kubectl = kubectl();
    kubectl.args(["set", "image", "--local", "--output=json", "--filename"]);
    let mut written = json(kubectl.arg(file.path()).arg(format!("*={IMAGE}")));
    let fields = written.as_object_mut().expect("an object");
    fields.remove("status");
    // A structure, which is written although it is empty, and which the server stores as it is.
    if let Some(template) = written.pointer_mut("/spec/jobTemplate").and_then(Value::as_object_mut) {
        assert_eq!(template.remove("metadata"), Some(json!({})));
    }
    written
}

/// The object with that image in all its containers.
fn with_image(mut object: Value) -> Value {
    fn set(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match name.as_str() {
                        "image" => *field = IMAGE.into(),
                        _ => set(field),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(set),
            _ => {}
        }
    }
    set(&mut object);
    object
}

fn kubectl() -> Command {
    Command::new(tool("kubectl").expect("a kubectl"))
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&succeed(command).stdout).expect("JSON")
}
