//! Tests of what is stored, and of who owns it.

use serde_json::{Value, json};

use super::super::question::Question;
use super::*;

const SET: &str = "/apis/apps/v1/namespaces/shop/daemonsets/agent";
const SERVER_SIDE: &str = "application/apply-patch+yaml";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn write(written: &mut Written, method: &Method, uri: &str, kind: &str, body: &Value) -> Result<(u16, Value), Value> {
    let question = Question::new(method, &uri.parse().expect("a URI"));
    let answer = written.write(method, &question, kind, body.to_string().as_bytes());
    answer.map_err(|status| status.object())
}

fn with_namespace() -> Written {
    let mut written = Written::default();
    let namespace = json!({"metadata": {"name": "shop"}});
    let made = write(
        &mut written,
        &Method::POST,
        "/api/v1/namespaces?fieldManager=x",
        "application/json",
        &namespace,
    );
    assert_eq!(made.map(|(status, _)| status), Ok(201));
    written
}

fn daemon_set(field: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"template": {"spec": {
            "hostNetwork": false,
            "containers": [{
                "name": "agent", "image": "agent:1",
                "resources": {"limits": {"memory": "1024Mi"}},
                "env": [{"name": "NODE", "valueFrom": {"fieldRef": field}}],
            }],
        }}},
    })
}

#[test]
fn objects_are_stored_with_defaults_and_canonical_values() {
    let mut written = with_namespace();
    let collection = "/apis/apps/v1/namespaces/shop/daemonsets?fieldManager=x";
    let set = daemon_set(&json!({"fieldPath": "spec.nodeName"}));
    let (_, stored) = write(&mut written, &Method::POST, collection, "application/json", &set).expect("created");
    let pod = &stored["spec"]["template"]["spec"];
    assert!(pod.get("hostNetwork").is_none());
    assert_eq!(pod["restartPolicy"], "Always");
    let container = &pod["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    let again = write(&mut written, &Method::POST, collection, "application/json", &set).expect_err("a conflict");
    assert_eq!(again["reason"], "Conflict");
    let elsewhere = "/apis/apps/v1/namespaces/other/daemonsets";
    let missing = write(&mut written, &Method::POST, elsewhere, "application/json", &set).expect_err("no namespace");
    assert_eq!(missing["code"], 404);
}

#[test]
fn what_another_manager_set_differently_is_a_conflict() {
    let mut written = with_namespace();
    let collection = "/apis/apps/v1/namespaces/shop/daemonsets?fieldManager=kubectl-client-side-apply";
    let short = daemon_set(&json!({"fieldPath": "spec.nodeName"}));
    write(&mut written, &Method::POST, collection, "application/json", &short).expect("created");
    let uri = format!("{SET}?fieldManager=kubectl&force=false");
    let refused = write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &short).expect_err("a conflict");
    let fields: Vec<_> = refused["details"]["causes"]
        .as_array()
        .expect("causes")
        .iter()
        .map(|cause| &cause["field"])
        .collect();
    let container = r#".spec.template.spec.containers[name="agent"]"#;
    assert_eq!(
        fields,
        [
            &json!(format!(r#"{container}.env[name="NODE"].valueFrom.fieldRef"#)),
            &json!(format!("{container}.resources.limits.memory")),
        ]
    );
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|text| text.contains("\"kubectl-client-side-apply\" using apps/v1"))
    );
    let mut whole = daemon_set(&json!({"apiVersion": "v1", "fieldPath": "spec.nodeName"}));
    whole["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("1Gi");
    write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &whole).expect("no conflict");
    let forced = format!("{SET}?fieldManager=kubectl&force=true");
    write(&mut written, &Method::PATCH, &forced, SERVER_SIDE, &short).expect("forced");
}

#[test]
fn what_is_applied_again_changes_nothing_and_what_is_left_out_goes() {
    let mut written = with_namespace();
    let uri = format!("{SET}?fieldManager=kubectl");
    let mut set = daemon_set(&json!({"fieldPath": "spec.nodeName"}));
    set["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    let (status, first) = write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &set).expect("applied");
    assert_eq!(status, 201);
    let (status, second) = write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &set).expect("applied");
    assert_eq!((status, &second), (200, &first));
    set["metadata"]["labels"] = json!({"a": "1"});
    let (_, third) = write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &set).expect("applied");
    assert_eq!(third["metadata"]["labels"], json!({"a": "1"}));
    assert_ne!(
        third["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
}

#[test]
fn a_strategic_patch_merges_lists_by_their_keys() {
    let mut written = with_namespace();
    let uri = format!("{SET}?fieldManager=kubectl");
    let set = daemon_set(&json!({"fieldPath": "spec.nodeName"}));
    write(&mut written, &Method::PATCH, &uri, SERVER_SIDE, &set).expect("applied");
    let patch = json!({
        "metadata": {"labels": {"a": "1"}},
        "spec": {"template": {"spec": {"containers": [{
            "name": "agent", "image": "agent:2", "env": [{"name": "NODE", "$patch": "delete"}, {"name": "B", "value": "b"}],
        }]}}},
    });
    let (_, patched) = write(&mut written, &Method::PATCH, &uri, STRATEGIC, &patch).expect("patched");
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    assert_eq!(containers[0]["image"], "agent:2");
    assert_eq!(containers[0]["env"], json!([{"name": "B", "value": "b"}]));
    // An empty patch changes nothing.
    let (_, same) = write(&mut written, &Method::PATCH, &uri, STRATEGIC, &json!({})).expect("patched");
    assert_eq!(same, patched);
}
