//! The other objects that an agent reads: services, namespaces, nodes.

use serde_json::{Map, Value, json};

/// A service of type `ClusterIP`; headless when it has no address.
pub fn service(namespace: &str, name: &str, selector: &[(&str, &str)], cluster_ips: &[&str]) -> Value {
    let families: Vec<&str> = cluster_ips
        .iter()
        .map(|address| if address.contains(':') { "IPv6" } else { "IPv4" })
        .collect();
    let mut spec = json!({
        "type": "ClusterIP",
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "ipFamilies": families,
        "ports": [{ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 }],
        "selector": map(selector),
    });
    if let Some(first) = cluster_ips.first() {
        spec["clusterIP"] = json!(first);
        spec["clusterIPs"] = json!(cluster_ips);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": namespace, "name": name },
        "spec": spec,
        "status": { "loadBalancer": {} },
    })
}

/// A namespace with these labels and the one that the API server adds.
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut labels = map(labels);
    labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": labels },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    })
}

/// A node with its internal addresses and the network of its pods (`10.244.1.0/24`).
pub fn node(name: &str, addresses: &[&str], pod_cidr: &str) -> Value {
    let mut all: Vec<Value> = addresses
        .iter()
        .map(|address| json!({ "type": "InternalIP", "address": address }))
        .collect();
    all.push(json!({ "type": "Hostname", "address": name }));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
        "spec": { "podCIDR": pod_cidr, "podCIDRs": [pod_cidr] },
        "status": { "addresses": all },
    })
}

fn map(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect()
}
