//! Tests of the API server through its protocol.

mod client;
mod faults;
mod lists;
mod options;
mod watches;

use serde_json::{Value, json};

/// A pod on a node.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    })
}

/// The names of a list's items.
fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = items.iter().map(|item| item["metadata"]["name"].as_str());
    names.map(Option::unwrap_or_default).collect()
}
