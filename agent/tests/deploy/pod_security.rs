//! The Pod Security Standards: which level each pod needs, and because of what.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use super::manifests::{base, everything, only, pod, with};
use serde_json::{Value, json};

/// What the agent's pod does that no level but `privileged` admits.
const OF_THE_AGENT: [&str; 5] = [
    "AppArmor is off",
    "capabilities: BPF, PERFMON, SYS_PTRACE",
    "hostPID",
    "SELinux type spc_t",
    "volumes of the node: bpf, cgroup",
];

#[test]
fn the_agent_needs_the_level_privileged_and_the_namespace_has_it() {
    let objects = base();
    assert_eq!(baseline(&pod(&objects)["spec"]), OF_THE_AGENT);
    let labels = &only(&objects, "Namespace")["metadata"]["labels"];
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(
            labels[format!("pod-security.kubernetes.io/{mode}")],
            "privileged",
            "{mode}"
        );
    }
}

#[test]
fn what_components_add_to_it() {
    let added = |component: &str| {
        let mut found = baseline(&pod(&with(&[component]))["spec"]);
        found.retain(|violation| !OF_THE_AGENT.contains(&violation.as_str()));
        found
    };
    assert_eq!(added("seccomp-unconfined"), ["seccomp is off"]);
    assert_eq!(
        added("seccomp-profile"),
        ["volumes of the node: bpf, cgroup, seccomp-profiles"]
    );
    assert_eq!(added("bottlerocket"), ["SELinux type control_t"]);
    for component in [
        "pod-monitor",
        "istio-trust-domain",
        "network-policy",
        "api-access",
        "all-nodes",
        "ipv6-only",
        "priority-class",
        "openshift",
        "selinux-none",
    ] {
        assert_eq!(added(component), [""; 0], "{component}");
    }
}

#[test]
fn reports_need_no_more_than_the_level_restricted() {
    let objects = everything();
    let pod = &only(&objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(baseline(pod), [""; 0]);
    assert_eq!(restricted(pod), [""; 0]);
}

#[test]
fn each_control_is_looked_at() {
    let plain = json!({ "containers": [{ "name": "a" }] });
    assert_eq!(baseline(&plain), [""; 0]);
    assert_eq!(
        restricted(&plain),
        [
            "a may gain privileges",
            "a may run as root",
            "a has no seccomp profile",
            "a keeps capabilities"
        ]
    );
    let with = |pointer: &str, value: Value| {
        let mut pod = plain.clone();
        match pointer.rsplit_once('/').expect("a path") {
            ("", field) => pod[field] = value,
            (_, field) => pod["containers"][0][field] = value,
        }
        baseline(&pod)
    };
    for (pointer, value, expected) in [
        ("/hostNetwork", json!(true), "hostNetwork"),
        ("/hostPID", json!(true), "hostPID"),
        ("/hostIPC", json!(true), "hostIPC"),
        (
            "/volumes",
            json!([{ "name": "v", "hostPath": {} }]),
            "volumes of the node: v",
        ),
        (
            "/securityContext",
            json!({ "sysctls": [{ "name": "kernel.msgmax" }] }),
            "sysctls",
        ),
        (
            "/securityContext",
            json!({ "seccompProfile": { "type": "Unconfined" } }),
            "seccomp is off",
        ),
        (
            "/securityContext",
            json!({ "seLinuxOptions": { "type": "spc_t" } }),
            "SELinux type spc_t",
        ),
        ("/c/securityContext", json!({ "privileged": true }), "a is privileged"),
        (
            "/c/securityContext",
            json!({ "procMount": "Unmasked" }),
            "a sees all of /proc",
        ),
        (
            "/c/securityContext",
            json!({ "appArmorProfile": { "type": "Unconfined" } }),
            "AppArmor is off",
        ),
        (
            "/c/securityContext",
            json!({ "capabilities": { "add": ["CHOWN", "BPF"] } }),
            "capabilities: BPF",
        ),
        ("/c/ports", json!([{ "hostPort": 9797 }]), "a has a port of the node"),
        (
            "/c/livenessProbe",
            json!({ "httpGet": { "host": "10.0.0.1" } }),
            "a has a livenessProbe of another host",
        ),
    ] {
        assert_eq!(with(pointer, value), [expected], "{pointer}");
    }
}

/// The capabilities that the level `baseline` lets containers add.
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The SELinux types that it allows.
const BASELINE_SELINUX: [&str; 5] = [
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

/// The volumes that the level `restricted` allows.
const RESTRICTED_VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What violates the level `baseline`.
fn baseline(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[field] == true {
            found.push(field.to_owned());
        }
    }
    let volumes = list(&pod["volumes"]).filter(|volume| !volume["hostPath"].is_null());
    let mut names: Vec<_> = volumes.map(|volume| text(&volume["name"])).collect();
    names.sort_unstable();
    if !names.is_empty() {
        found.push(format!("volumes of the node: {}", names.join(", ")));
    }
    if list(&pod["securityContext"]["sysctls"]).next().is_some() {
        found.push("sysctls".to_owned());
    }
    let contexts = containers(pod).map(|container| &container["securityContext"]);
    for context in std::iter::once(&pod["securityContext"]).chain(contexts) {
        if context["seccompProfile"]["type"] == "Unconfined" {
            found.push("seccomp is off".to_owned());
        }
        if context["appArmorProfile"]["type"] == "Unconfined" {
            found.push("AppArmor is off".to_owned());
        }
        let selinux = &context["seLinuxOptions"];
        if !BASELINE_SELINUX.contains(&text(&selinux["type"])) {
            found.push(format!("SELinux type {}", text(&selinux["type"])));
        }
        assert!(selinux["user"].is_null() && selinux["role"].is_null(), "not looked at");
    }
    for container in containers(pod) {
        let (name, context) = (text(&container["name"]), &container["securityContext"]);
        if context["privileged"] == true {
            found.push(format!("{name} is privileged"));
        }
        if !["", "Default"].contains(&text(&context["procMount"])) {
            found.push(format!("{name} sees all of /proc"));
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let named = ["httpGet", "tcpSocket"].map(|kind| &container[probe][kind]["host"]);
            if named.iter().any(|host| !host.is_null()) {
                found.push(format!("{name} has a {probe} of another host"));
            }
        }
        if list(&container["ports"]).any(|port| !port["hostPort"].is_null()) {
            found.push(format!("{name} has a port of the node"));
        }
        let added = list(&context["capabilities"]["add"]).map(text);
        let added: Vec<_> = added.filter(|name| !BASELINE_CAPABILITIES.contains(name)).collect();
        if !added.is_empty() {
            found.push(format!("capabilities: {}", added.join(", ")));
        }
    }
    found.sort_by_key(|violation| violation.to_lowercase());
    found.dedup();
    found
}

/// What violates the level `restricted`, beyond `baseline`.
fn restricted(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for volume in list(&pod["volumes"]) {
        let kinds = volume
            .as_object()
            .expect("a volume")
            .keys()
            .filter(|key| *key != "name");
        for kind in kinds.filter(|kind| !RESTRICTED_VOLUMES.contains(&kind.as_str())) {
            found.push(format!("volume of type {kind}"));
        }
    }
    for container in containers(pod) {
        let (name, of_pod, own) = (
            text(&container["name"]),
            &pod["securityContext"],
            &container["securityContext"],
        );
        let either = |field: &str| {
            if own[field].is_null() {
                &of_pod[field]
            } else {
                &own[field]
            }
        };
        if own["allowPrivilegeEscalation"] != false {
            found.push(format!("{name} may gain privileges"));
        }
        if *either("runAsNonRoot") != true || *either("runAsUser") == 0 {
            found.push(format!("{name} may run as root"));
        }
        if !["RuntimeDefault", "Localhost"].contains(&text(&either("seccompProfile")["type"])) {
            found.push(format!("{name} has no seccomp profile"));
        }
        let keeps = list(&own["capabilities"]["drop"]).all(|name| name != "ALL");
        if keeps || list(&own["capabilities"]["add"]).any(|name| name != "NET_BIND_SERVICE") {
            found.push(format!("{name} keeps capabilities"));
        }
    }
    found
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["initContainers"]).chain(list(&pod["containers"]))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
