//! What clients ask before they write: which groups and kinds there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kinds::KINDS;

/// The document at a path of the discovery API.
pub(in super::super) fn discover(path: &str) -> Option<Value> {
    match path.trim_end_matches('/') {
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(groups()),
        path => {
            let version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
            let has = |kind: &&super::kinds::Kind| kind.0 == version;
            let resources: Vec<_> = KINDS.iter().filter(has).map(resource).collect();
            (!resources.is_empty())
                .then(|| json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources}))
        }
    }
}

fn groups() -> Value {
    let versions: BTreeSet<_> = KINDS.iter().map(|kind| kind.0).collect();
    let groups = versions.into_iter().filter_map(|group_version| {
        let (group, version) = group_version.split_once('/')?;
        let version = json!({"groupVersion": group_version, "version": version});
        Some(json!({"name": group, "versions": [version], "preferredVersion": version}))
    });
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
}

fn resource(kind: &super::kinds::Kind) -> Value {
    json!({
        "name": kind.1, "singularName": kind.2.to_lowercase(), "kind": kind.2, "namespaced": kind.3,
        "verbs": ["create", "get", "patch"],
    })
}
