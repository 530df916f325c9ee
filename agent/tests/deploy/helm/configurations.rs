//! Seven configurations, written once for kustomize and once for the chart. Together they have every component and nearly every value.

use serde_json::{Value, json};

/// What a cluster needs, as an overlay and as values.
pub struct Configuration {
    pub name: &'static str,
    pub components: &'static [&'static str],
    /// What else the overlay says.
    pub overlay: Value,
    pub values: Value,
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub fn configurations() -> [Configuration; 7] {
    let config = "interval: 2s # <&> as in kustomize\n";
    let arm64 = json!({ "kubernetes.io/arch": "arm64" });
    let resources = json!({ "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } });
    let peers = json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "observability" } } }]);
    [
        Configuration {
            name: "default",
            components: &[],
            overlay: json!({}),
            values: json!({}),
        },
        Configuration {
            name: "Prometheus operator finds the agents",
            components: &["pod-monitor", "kube-prometheus-stack"],
            overlay: json!({}),
            values: json!({
                "podMonitor": { "enabled": true },
                "monitoringLabels": { "release": "kube-prometheus-stack" },
            }),
        },
        Configuration {
            name: "rules, alerts, dashboards, Istio",
            components: &[
                "prometheus-rule",
                "dashboards",
                "istio-trust-domain",
                "kube-prometheus-stack",
            ],
            overlay: json!({}),
            values: json!({
                "prometheusRule": { "enabled": true },
                "dashboards": { "enabled": true },
                "istio": { "trustDomain": true },
                "monitoringLabels": { "release": "kube-prometheus-stack" },
            }),
        },
        Configuration {
            name: "IPv6 only, restricted, readers of the API, Bottlerocket",
            components: &["network-policy", "api-access", "ipv6-only", "bottlerocket"],
            overlay: json!({ "patches": [{
                "target": { "kind": "NetworkPolicy" },
                "patch": json!([{ "op": "replace", "path": "/spec/ingress/0/from", "value": peers }]).to_string(),
            }] }),
            values: json!({ "networkPolicy": { "enabled": true, "from": peers }, "apiAccess": { "enabled": true }, "ipv6Only": true, "seLinux": { "type": "control_t" } }),
        },
        Configuration {
            name: "all nodes, IPv6 only, restricted",
            components: &["network-policy", "ipv6-only", "all-nodes"],
            overlay: json!({ "patches": [
                {
                    "target": { "kind": "NetworkPolicy" },
                    "patch": json!([{ "op": "replace", "path": "/spec/ingress/0/from", "value": peers }]).to_string(),
                },
            ] }),
            values: json!({
                "networkPolicy": { "enabled": true, "from": peers },
                "ipv6Only": true,
                "allNodes": { "enabled": true },
            }),
        },
        Configuration {
            name: "OpenShift",
            components: &["openshift", "seccomp-profile"],
            overlay: json!({ "images": [{ "name": "narrows", "newName": "quay.example/narrows", "newTag": "1" }] }),
            values: json!({
                "openshift": { "enabled": true },
                "seccomp": { "type": "Localhost" },
                "image": { "repository": "quay.example/narrows", "tag": "1" },
            }),
        },
        Configuration {
            name: "arm64, a class of its own, reports, another configuration",
            components: &["priority-class", "seccomp-unconfined", "selinux-none", "report"],
            overlay: json!({
                "images": [{ "name": "narrows", "newName": "quay.example/narrows", "digest": DIGEST }],
                "configMapGenerator": [{ "name": "narrows", "behavior": "replace", "literals": [format!("config.yaml={config}")] }],
                "patches": [
                    {
                        "target": { "kind": "DaemonSet" },
                        "patch": json!([
                            { "op": "add", "path": "/spec/template/spec/nodeSelector/kubernetes.io~1arch", "value": "arm64" },
                            { "op": "remove", "path": "/spec/template/spec/affinity/nodeAffinity" },
                            { "op": "add", "path": "/spec/template/spec/affinity/podAffinity", "value": {} },
                            { "op": "replace", "path": "/spec/template/spec/containers/0/resources", "value": resources },
                            { "op": "replace", "path": "/spec/updateStrategy/rollingUpdate/maxUnavailable", "value": 5 },
                        ]).to_string(),
                    },
                    {
                        "target": { "kind": "CronJob" },
                        "patch": json!([{
                            "op": "add",
                            "path": "/spec/jobTemplate/spec/template/spec/nodeSelector/kubernetes.io~1arch",
                            "value": "arm64",
                        }]).to_string(),
                    },
                    {
                        "target": { "kind": "PersistentVolumeClaim" },
                        "patch": json!([{ "op": "add", "path": "/spec/storageClassName", "value": "fast" }]).to_string(),
                    },
                ],
            }),
            values: json!({
                "image": { "repository": "quay.example/narrows", "digest": DIGEST },
                "config": config,
                "nodeSelector": arm64,
                "affinity": { "podAffinity": {} },
                "resources": resources,
                "maxUnavailable": 5,
                "priorityClass": { "create": true },
                "seccomp": { "type": "Unconfined" },
                "seLinux": { "type": "" },
                "report": { "enabled": true, "storageClassName": "fast" },
            }),
        },
    ]
}
