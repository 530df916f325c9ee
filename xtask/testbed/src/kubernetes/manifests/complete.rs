//! The fields that manifests leave out because the agent does not use them. It has to read them nevertheless, as they make up much
//! of what a real API server sends.

use serde_json::{Map, Value, json};

/// Images that a kubelet reports (`nodeStatusMaxImages`).
const IMAGES: usize = 50;

/// Completes a pod from a manifest.
pub fn complete_pod(pod: &mut Value) {
    let fields = |names: &[&str]| -> Map<String, Value> {
        let each = names.iter().map(|name| (format!("f:{name}"), json!({})));
        each.collect()
    };
    let containers = fields(&[
        "image",
        "imagePullPolicy",
        "name",
        "ports",
        "resources",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "env",
        "volumeMounts",
    ]);
    let spec = fields(&[
        "dnsPolicy",
        "enableServiceLinks",
        "restartPolicy",
        "schedulerName",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "volumes",
    ]);
    let condition = fields(&["lastProbeTime", "lastTransitionTime", "status", "type"]);
    let conditions = json!({
        "k:{\"type\":\"ContainersReady\"}": condition,
        "k:{\"type\":\"Initialized\"}": condition,
        "k:{\"type\":\"PodReadyToStartContainers\"}": condition,
        "k:{\"type\":\"Ready\"}": condition,
    });
    pod["metadata"]["managedFields"] = json!([
        {
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-16T09:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": fields(&["annotations", "generateName", "labels", "ownerReferences"]),
                "f:spec": spec,
                "f:containers": { "k:{\"name\":\"app\"}": containers },
            },
        },
        {
            "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
            "time": "2026-11-16T09:00:08Z", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:conditions": conditions,
                "f:status": fields(&["containerStatuses", "hostIP", "phase", "podIP", "podIPs", "startTime"]),
            },
        },
    ]);
    pod["spec"]["volumes"] = json!([{
        "name": "kube-api-access",
        "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        ] },
    }]);
    pod["spec"]["tolerations"] = json!([
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
    ]);
}

/// Completes a node of [`super::node`], as a cloud provider and a kubelet do.
pub fn complete_node(node: &mut Value) {
    let labels = [
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    for label in labels {
        node["metadata"]["labels"][label] = json!("region-1a.large");
    }
    node["metadata"]["annotations"] = json!({
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        "csi.volume.kubernetes.io/nodeid": "{\"ebs.csi.example.com\":\"i-0123456789abcdef0\"}",
    });
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "False", "lastHeartbeatTime": "2026-11-16T09:00:00Z",
            "lastTransitionTime": "2026-11-16T08:00:00Z", "reason": format!("KubeletHasNo{kind}"),
            "message": format!("kubelet has no {kind}"),
        })
    };
    let conditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(condition);
    let fields = |names: &[&str]| {
        names
            .iter()
            .map(|name| (format!("f:{name}"), json!({})))
            .collect::<Map<_, _>>()
    };
    node["metadata"]["managedFields"] = json!([
        {
            "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-11-16T09:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": { "f:labels": fields(&labels) } },
        },
        {
            "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
            "time": "2026-11-16T09:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:status": fields(&["allocatable", "capacity", "conditions", "images", "nodeInfo"]) },
        },
    ]);
    let amounts = json!({
        "cpu": "16", "ephemeral-storage": "104845292Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": "64758904Ki", "pods": "110",
    });
    let images = (0..IMAGES).map(|number| {
        // Digests differ, so that they do not compress better than real ones.
        let digest: String = (1..=4_u64)
            .map(|part| format!("{:016x}", digest(number as u64 * 4 + part)))
            .collect();
        let name = format!("registry.example.com/platform/service-{number:02}");
        json!({
            "names": [format!("{name}@sha256:{digest}"), format!("{name}:v1.{number}.0")],
            "sizeBytes": 40_000_000 + number * 1_234_567,
        })
    });
    let status = &mut node["status"];
    status["capacity"] = amounts.clone();
    status["allocatable"] = amounts;
    status["conditions"] = json!(conditions);
    status["images"] = images.collect();
    status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": 10250 } });
    status["nodeInfo"] = json!({
        "architecture": "amd64", "bootID": "4c7b1f0e-5f3a-4a37-9d7c-2f1f4a5b6c7d",
        "containerRuntimeVersion": "containerd://2.1.4", "kernelVersion": "6.12.48", "kubeProxyVersion": "",
        "kubeletVersion": "v1.34.1", "machineID": "ec2d1d5e4c0b4f6f8a1b2c3d4e5f6a7b", "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 13 (trixie)", "systemUUID": "ec2d1d5e-4c0b-4f6f-8a1b-2c3d4e5f6a7b",
    });
}

/// Well-mixed bits of a number (SplitMix64).
fn digest(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
