//! Checks objects against `schemas.yaml`.

use serde_json::{Value, json};

/// Checks an object against the schema of its kind.
#[track_caller]
pub fn check(object: &Value) {
    let schemas: Value = serde_saphyr::from_str(include_str!("schemas.yaml")).expect("YAML");
    let text = |field: &str| object[field].as_str().expect("text");
    let kind = format!("{} {}", text("apiVersion"), text("kind"));
    let validator = jsonschema::validator_for(&schemas[&kind]).expect("a schema");
    let errors = validator.iter_errors(object);
    let errors: Vec<_> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        schemas[&kind].is_object() && errors.is_empty(),
        "{kind}: {errors:#?}\n{object:#}"
    );
}

#[test]
fn mistakes_are_found() {
    let good = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": { "name": "a", "namespace": "b" },
        "spec": { "action": "ALLOW", "rules": [{ "from": [{ "source": { "principals": ["x"] } }] }] }
    });
    check(&good);
    for (pointer, field, value) in [
        ("", "kind", json!("AuthorisationPolicy")),
        ("/spec", "action", json!("PERMIT")),
        ("/spec", "rule", json!([])),
        ("/spec", "targetRefs", json!([{ "kind": "Gateway" }])),
        ("/spec/rules/0/from/0/source", "principals", json!("x")),
        ("/metadata", "name", json!("A_b")),
    ] {
        let mut wrong = good.clone();
        wrong.pointer_mut(pointer).expect("a place")[field] = value;
        assert!(std::panic::catch_unwind(|| check(&wrong)).is_err(), "{field}");
    }
    let both = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "w" }]);
    let mut wrong = good;
    wrong["spec"]["targetRefs"] = both;
    check(&wrong);
    wrong["spec"]["selector"] = json!({ "matchLabels": { "app": "w" } });
    assert!(std::panic::catch_unwind(|| check(&wrong)).is_err(), "only one of both");
}
