//! What the optional parts of the manifests change, held against what they are for.

use super::manifests::{base, container, deploy, everything, named, of_kind, only, pod, selects, variable, with};
use narrows::{config::Config, identity::kubernetes::PREFIX};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn nodes_without_a_kernel_of_their_own_are_left_out() {
    let objects = base();
    let affinity = &pod(&objects)["spec"]["affinity"]["nodeAffinity"];
    let terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].clone();
    let terms = terms.as_array().expect("terms");
    assert_eq!(terms.len(), 1, "terms are alternatives");
    let admits = |labels: Value| {
        terms[0]["matchExpressions"]
            .as_array()
            .expect("conditions")
            .iter()
            .all(|condition| {
                let values = condition["values"].as_array().expect("values");
                let has = labels
                    .get(text(&condition["key"]))
                    .is_some_and(|value| values.contains(value));
                match text(&condition["operator"]) {
                    "In" => has,
                    "NotIn" => !has,
                    other => panic!("not known here: {other}"),
                }
            })
    };
    for arch in ["amd64", "arm64"] {
        assert!(admits(json!({ "kubernetes.io/arch": arch })), "{arch}");
        assert!(!admits(
            json!({ "kubernetes.io/arch": arch, "eks.amazonaws.com/compute-type": "fargate" })
        ));
        assert!(!admits(
            json!({ "kubernetes.io/arch": arch, "type": "virtual-kubelet" })
        ));
        assert!(admits(
            json!({ "kubernetes.io/arch": arch, "eks.amazonaws.com/compute-type": "auto", "type": "metal" })
        ));
    }
    assert!(!admits(json!({ "kubernetes.io/arch": "s390x" })));
    // The image is built for exactly these.
    let image = fs::read_to_string(deploy().join("container/Containerfile")).expect("a Containerfile");
    for (arch, triple) in [
        ("amd64", "x86_64-unknown-linux-gnu"),
        ("arm64", "aarch64-unknown-linux-gnu"),
    ] {
        assert!(image.contains(&format!("{arch}) target={triple}")), "{arch}");
    }
    assert!(
        image.contains("--platform=linux/amd64,linux/arm64"),
        "how to build for both"
    );
}

#[test]
fn with_ipv6_only_the_agent_listens_there_on_the_same_port() {
    let listen = |objects: &[Value]| -> SocketAddr {
        let value = variable(container(objects), "NARROWS_LISTEN").expect("the variable");
        text(&value["value"]).parse().expect("an address")
    };
    let (before, after) = (listen(&base()), listen(&with(&["ipv6-only"])));
    assert!(after.is_ipv6() && after.ip().is_unspecified());
    assert_eq!(before.port(), after.port());
}

#[test]
fn with_a_class_of_its_own_the_agent_needs_no_quota() {
    let objects = with(&["priority-class"]);
    let class = only(&objects, "PriorityClass");
    assert_eq!(pod(&objects)["spec"]["priorityClassName"], class["metadata"]["name"]);
    // Users' classes end there; those of the system begin.
    assert!(
        class["value"]
            .as_u64()
            .is_some_and(|value| (1..=1_000_000_000).contains(&value))
    );
    assert!(of_kind(&objects, "ResourceQuota").is_empty());
}

#[test]
fn the_network_policy_lets_only_prometheus_in_and_only_to_the_port() {
    let objects = with(&["network-policy"]);
    let policy = only(&objects, "NetworkPolicy");
    assert_eq!(
        policy["metadata"]["namespace"],
        only(&objects, "DaemonSet")["metadata"]["namespace"]
    );
    let spec = &policy["spec"];
    assert!(selects(&spec["podSelector"], &pod(&objects)["metadata"]["labels"]));
    assert_eq!(
        spec["policyTypes"],
        json!(["Ingress"]),
        "the agent has to reach the API server"
    );
    // The second rule is for agents that ask each other: without `all-nodes` no port has the name in it.
    assert_eq!(spec["ingress"].as_array().map(Vec::len), Some(2));
    assert_eq!(container(&objects)["ports"].as_array().map(Vec::len), Some(1));
    let rule = &spec["ingress"][0];
    // Both selectors in one peer: that pod in that namespace.
    assert_eq!(rule["from"].as_array().map(Vec::len), Some(1));
    assert!(rule["from"][0]["namespaceSelector"].is_object() && rule["from"][0]["podSelector"].is_object());
    assert_eq!(
        rule["ports"],
        json!([{ "port": container(&objects)["ports"][0]["name"], "protocol": "TCP" }])
    );
}

#[test]
fn the_api_is_for_those_whom_the_role_of_readers_is_bound_to() {
    let objects = with(&["api-access"]);
    let account = named(&objects, "ServiceAccount", "narrows");
    let delegator = named(&objects, "ClusterRoleBinding", "narrows-auth-delegator");
    assert_eq!(delegator["roleRef"]["name"], "system:auth-delegator");
    assert_eq!(
        delegator["subjects"],
        json!([{ "kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": account["metadata"]["namespace"] }])
    );
    // The name that an agent tells those who lack it, and the paths that it asks for.
    let reader = named(&objects, "ClusterRole", "narrows-reader");
    assert_eq!(
        reader["rules"],
        json!([{ "nonResourceURLs": [format!("{PREFIX}/*")], "verbs": ["get"] }])
    );
    let bound = of_kind(&objects, "ClusterRoleBinding");
    assert!(
        bound
            .iter()
            .all(|binding| binding["roleRef"]["name"] != reader["metadata"]["name"]),
        "by you"
    );

    // The configuration that the component's comment and the guide ask for finds port and certificate.
    let config = asked_for_by("api-access");
    assert!(config.api.kubernetes);
    let container = container(&objects);
    let port = config.api_listen.expect("an address").port();
    assert_eq!(at(container, "ports", "api")["containerPort"], port);
    let mount = at(container, "volumeMounts", "api-certificate");
    let files = config.api.files().expect("both");
    for (file, name) in [(files.certificate, "tls.crt"), (files.key, "tls.key")] {
        assert_eq!(file, Path::new(text(&mount["mountPath"])).join(name));
    }
    let volumes = pod(&objects)["spec"]["volumes"].as_array().expect("volumes");
    assert!(volumes.contains(&json!({ "name": "api-certificate", "secret": { "secretName": "narrows-api" } })));
}

/// The configuration that a component's comment and the guide ask for.
fn asked_for_by(component: &str) -> Config {
    let comment = fs::read_to_string(deploy().join(format!("kubernetes/components/{component}/kustomization.yaml")));
    let comment = comment.expect("a kustomization");
    let lines = comment.lines().filter_map(|line| line.strip_prefix("#   "));
    let settings = lines.collect::<Vec<_>>().join("\n");
    let guide = fs::read_to_string(deploy().join("README.md")).expect("a guide");
    assert!(guide.contains(&settings.replace('\n', "\n   ")), "{settings}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &settings).expect("written");
    Config::read(Some(file.path())).expect("a valid configuration")
}

/// The entry of this name in a list of a container.
fn at<'a>(container: &'a Value, list: &str, name: &str) -> &'a Value {
    let mut entries = container[list].as_array().expect("a list").iter();
    entries.find(|entry| entry["name"] == name).expect("it is there")
}

#[test]
fn agents_find_each_other_and_only_they_reach_the_api() {
    let objects = with(&["network-policy", "all-nodes"]);
    let (service, pod) = (only(&objects, "Service"), pod(&objects));
    let (spec, labels) = (&service["spec"], &pod["metadata"]["labels"]);
    assert_eq!(spec["clusterIP"], "None", "each agent has an address of its own");
    assert_eq!(spec["publishNotReadyAddresses"], true, "who does not answer is named");
    assert!(selects(&json!({ "matchLabels": spec["selector"] }), labels));
    // What the agents are told is where that leads.
    let value = |name: &str| text(&variable(container(&objects), name).expect(name)["value"]);
    let port = spec["ports"][0]["port"].as_u64().expect("a port");
    let name = text(&service["metadata"]["name"]);
    assert_eq!(value("NARROWS_PEERS"), format!("https://{name}:{port}"));
    let config = asked_for_by("all-nodes");
    assert_eq!(config.api_listen.map(|address| u64::from(address.port())), Some(port));
    let directory = text(&at(container(&objects), "volumeMounts", "api-certificate")["mountPath"]);
    let directory = Path::new(&directory);
    let files = config.api.files().expect("TLS and a token");
    assert_eq!(files.certificate, directory.join("tls.crt"));
    assert_eq!(files.key, directory.join("tls.key"));
    assert_eq!(config.api.token_file, Some(directory.join("token")));
    assert_eq!(config.api.peers.ca, Some(directory.join("ca.crt")));
    let ports = container(&objects)["ports"].as_array().expect("ports");
    let api = ports
        .iter()
        .find(|port| port["name"] == "api")
        .expect("a port of the API");
    assert_eq!(
        (&api["containerPort"], &spec["ports"][0]["targetPort"]),
        (&json!(port), &json!("api"))
    );
    let rule = &only(&objects, "NetworkPolicy")["spec"]["ingress"][1];
    assert_eq!(rule["ports"], json!([{ "port": "api", "protocol": "TCP" }]));
    assert!(selects(&rule["from"][0]["podSelector"], labels) && rule["from"].as_array().map(Vec::len) == Some(1));
}

#[test]
fn openshift_admits_what_the_pod_asks_for_and_nothing_else() {
    let constraints = |objects: &[Value]| only(objects, "SecurityContextConstraints").clone();
    for more in [
        &["openshift"][..],
        &["openshift", "seccomp-profile"],
        &["openshift", "seccomp-unconfined"],
        &["openshift", "api-access"],
    ] {
        let objects = with(more);
        let (scc, pod, container) = (constraints(&objects), &pod(&objects)["spec"], container(&objects));
        let security = &container["securityContext"];
        for (allowed, asked) in [
            ("allowHostPID", &pod["hostPID"]),
            ("allowHostIPC", &pod["hostIPC"]),
            ("allowHostNetwork", &pod["hostNetwork"]),
            ("allowPrivilegedContainer", &security["privileged"]),
            ("allowPrivilegeEscalation", &security["allowPrivilegeEscalation"]),
            ("readOnlyRootFilesystem", &security["readOnlyRootFilesystem"]),
        ] {
            assert_eq!(scc[allowed] == true, *asked == true, "{allowed}");
        }
        assert_eq!(scc["allowedCapabilities"], security["capabilities"]["add"]);
        let seccomp = &security["seccompProfile"];
        let profile = match text(&seccomp["type"]) {
            "RuntimeDefault" => "runtime/default".to_owned(),
            "Unconfined" => "unconfined".to_owned(),
            _ => format!("localhost/{}", text(&seccomp["localhostProfile"])),
        };
        assert!(
            scc["seccompProfiles"]
                .as_array()
                .expect("profiles")
                .contains(&json!(profile)),
            "{profile}"
        );
        for volume in pod["volumes"].as_array().expect("volumes") {
            let kind = volume
                .as_object()
                .expect("a volume")
                .keys()
                .find(|key| *key != "name")
                .expect("a kind");
            assert!(
                scc["volumes"].as_array().expect("kinds").contains(&json!(kind)),
                "{kind}"
            );
        }
        // The service account's token comes as a projected volume.
        assert!(scc["volumes"].as_array().expect("kinds").contains(&json!("projected")));
    }
}

#[test]
fn openshift_admits_the_reports_as_any_user_but_root() {
    let objects = with(&["openshift", "report"]);
    let binding = named(&objects, "RoleBinding", "narrows-report-scc");
    assert_eq!(binding["roleRef"]["name"], "system:openshift:scc:nonroot-v2");
    let pod = &only(&objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(binding["subjects"][0]["name"], pod["serviceAccountName"]);
    assert!(
        pod["securityContext"]["runAsUser"]
            .as_u64()
            .is_some_and(|user| user > 0)
    );
}

#[test]
fn each_role_names_an_object_that_there_is() {
    let objects = everything();
    let role = named(&objects, "Role", "narrows-scc");
    let constraints = only(&objects, "SecurityContextConstraints");
    assert_eq!(
        role["rules"][0]["resourceNames"],
        json!([constraints["metadata"]["name"]])
    );
    assert_eq!(role["rules"][0]["verbs"], json!(["use"]));
    // Istio's own config map is not ours; kustomize would rename it if ours had its name.
    let role = named(&objects, "Role", "narrows-mesh-config");
    assert_eq!(role["rules"][0]["resourceNames"], json!(["istio"]));
}

#[test]
fn the_seccomp_profile_is_on_the_node_before_the_agent_starts() {
    let objects = with(&["seccomp-profile"]);
    let pod = &pod(&objects)["spec"];
    let agent = container(&objects);
    let profile = &agent["securityContext"]["seccompProfile"];
    assert_eq!(profile["type"], "Localhost");
    assert_eq!(pod["initContainers"].as_array().map(Vec::len), Some(1));
    let init = &pod["initContainers"][0];
    assert_eq!(init["image"], agent["image"], "one image");
    // From the config map to the node, where the kubelet looks for the name that the agent asks for.
    let volume = |path: &str| {
        let mounts = init["volumeMounts"].as_array().expect("mounts");
        let mount = mounts
            .iter()
            .find(|mount| path.starts_with(&format!("{}/", text(&mount["mountPath"]))))
            .expect("a mount");
        let volumes = pod["volumes"].as_array().expect("volumes");
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"])
            .expect("a volume");
        (
            volume.clone(),
            path.strip_prefix(text(&mount["mountPath"]))
                .expect("below it")
                .to_owned(),
        )
    };
    let words: Vec<_> = init["command"]
        .as_array()
        .expect("a command")
        .iter()
        .map(text)
        .collect();
    let ["/bin/cp", from, to] = words[..] else {
        panic!("{words:?}")
    };
    let ((source, from), (target, to)) = (volume(from), volume(to));
    let map = named(&objects, "ConfigMap", text(&source["configMap"]["name"]));
    let text_of_profile = text(&map["data"][from.trim_start_matches('/')]);
    assert_eq!(
        format!("{}{to}", text(&target["hostPath"]["path"])),
        format!("/var/lib/kubelet/seccomp/{}", text(&profile["localhostProfile"]))
    );
    // What it allows the agent is seen in agent/tests/privileges.rs.
    let profile: Value = serde_json::from_str(text_of_profile).expect("JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    for never in [
        "ptrace",
        "process_vm_readv",
        "setns",
        "unshare",
        "mount",
        "init_module",
        "kexec_load",
    ] {
        assert!(!text_of_profile.contains(&format!("\"{never}\"")), "{never}");
    }
}

#[test]
fn reports_are_asked_of_prometheus_and_kept_on_the_volume() {
    let objects = with(&["report"]);
    let job = only(&objects, "CronJob");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], super::manifests::container(&objects)["image"]);
    let account = named(&objects, "ServiceAccount", text(&pod["serviceAccountName"]));
    assert_eq!(
        (
            &pod["automountServiceAccountToken"],
            &account["automountServiceAccountToken"]
        ),
        (&json!(false), &json!(false))
    );
    let claim = only(&objects, "PersistentVolumeClaim");
    let volume = json!([{ "name": "reports", "persistentVolumeClaim": { "claimName": claim["metadata"]["name"] } }]);
    assert_eq!(pod["volumes"], volume);
    assert_eq!(
        container["volumeMounts"],
        json!([{ "name": "reports", "mountPath": "/reports" }])
    );
    assert_eq!(claim["metadata"]["namespace"], job["metadata"]["namespace"]);
    // Nothing takes it for an agent: neither a policy, nor a monitor, nor the DaemonSet.
    let labels = &job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"];
    assert!(!selects(&only(&objects, "DaemonSet")["spec"]["selector"], labels));
}
