//! What `kubectl apply -k` would send: built by a real kustomize, held against Kubernetes' own schemas and against what
//! the agent needs. No cluster and no network.

mod apply;
mod canonical;
mod components;
mod grafana;
mod helm;
mod manifests;
mod monitoring;
mod pod_security;
mod prometheus;
mod report;
mod scenarios;
mod shapes;
mod trends;

use manifests::{
    base, build, components, container, deploy, everything, named, of_kind, only, pod, selects, succeed, variable, with,
};
use narrows::config::Config;
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, process::Command};

/// What the agent needs of the kernel's privileges.
const CAPABILITIES: [&str; 3] = ["BPF", "PERFMON", "SYS_PTRACE"];

/// The oldest Kubernetes that knows every field (`appArmorProfile`), and the newest with schemas.
const VERSIONS: [&str; 2] = ["1.30.0", "1.37.0"];

#[test]
fn everything_fits_the_schemas_of_the_oldest_and_the_newest_kubernetes() {
    let validate = tool("kubernetes-validate").expect("the schemas");
    let builds = [base(), everything(), build(&deploy().join("kubernetes-example"))];
    for objects in builds {
        let known = objects
            .iter()
            .filter(|object| !shapes::KINDS.contains(&object["kind"].as_str().expect("a kind")));
        let documents: Vec<_> = known.map(ToString::to_string).collect();
        assert!(documents.len() >= 7, "{documents:?}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), documents.join("\n---\n")).expect("it can be written");
        for version in VERSIONS {
            succeed(
                Command::new(&validate)
                    .args(["--strict", "-k", version])
                    .arg(file.path()),
            );
        }
    }
}

#[test]
fn no_file_is_left_out() {
    let kubernetes = deploy().join("kubernetes");
    let mut directories: Vec<_> = components()
        .iter()
        .map(|name| kubernetes.join("components").join(name))
        .collect();
    directories.push(kubernetes);
    for directory in directories {
        let kustomization = fs::read_to_string(directory.join("kustomization.yaml")).expect("a kustomization");
        let kustomization: Value = serde_saphyr::from_str(&kustomization).expect("YAML");
        let resources = kustomization["resources"].as_array().into_iter().flatten();
        let generators = kustomization["configMapGenerator"].as_array().into_iter().flatten();
        let generated = generators.flat_map(|generator| generator["files"].as_array().into_iter().flatten());
        let patches = kustomization["patches"].as_array().into_iter().flatten();
        let patches = patches.filter_map(|patch| patch.get("path"));
        let listed: BTreeSet<_> = resources
            .chain(generated)
            .chain(patches)
            .map(|file| file.as_str().expect("a name"))
            .collect();
        let entries = fs::read_dir(&directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path());
        let files: Vec<_> = entries.filter(|path| path.is_file()).collect();
        let names = files
            .iter()
            .map(|file| file.file_name().and_then(|name| name.to_str()).expect("UTF-8"));
        let there: BTreeSet<_> = names.filter(|name| *name != "kustomization.yaml").collect();
        assert_eq!(there, listed, "{}", directory.display());
    }
}

#[test]
fn the_agent_may_read_pods_namespaces_services_and_nodes_and_no_more() {
    let objects = base();
    let rules = &only(&objects, "ClusterRole")["rules"];
    let read = json!([{
        "apiGroups": [""],
        "resources": ["pods", "namespaces", "services", "nodes"],
        "verbs": ["list", "watch"],
    }]);
    assert_eq!(*rules, read);
    assert!(of_kind(&objects, "Role").is_empty() && of_kind(&objects, "RoleBinding").is_empty());
}

#[test]
fn the_istio_component_adds_one_config_map() {
    let objects = with(&["istio-trust-domain"]);
    let role = only(&objects, "Role");
    let read = json!([{
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["istio"],
        "verbs": ["list", "watch"],
    }]);
    assert_eq!(role["rules"], read);
    assert_eq!(role["metadata"]["namespace"], "istio-system");
    assert_eq!(only(&objects, "RoleBinding")["metadata"]["namespace"], "istio-system");
    let variable = variable(container(&objects), "NARROWS_MESH_CONFIG_MAP").expect("the variable");
    assert_eq!(variable["value"], "istio-system/istio");
    assert_eq!(
        container(&base())["env"].as_array().map(Vec::len),
        Some(3),
        "the base does without"
    );
}

#[test]
fn every_role_is_bound_to_the_account_of_the_pods() {
    let objects = everything();
    let namespace = &only(&objects, "DaemonSet")["metadata"]["namespace"];
    let account = named(&objects, "ServiceAccount", "narrows");
    assert_eq!(account["metadata"]["namespace"], *namespace);
    assert_eq!(account["metadata"]["name"], pod(&objects)["spec"]["serviceAccountName"]);
    assert_eq!(only(&objects, "Namespace")["metadata"]["name"], *namespace);
    for (binding, kind, number) in [("ClusterRoleBinding", "ClusterRole", 1), ("RoleBinding", "Role", 2)] {
        let (mut bindings, mut roles) = (of_kind(&objects, binding), of_kind(&objects, kind));
        // Of what OpenShift has, for the reports; of what every cluster has; and a role for others.
        bindings.retain(|binding| {
            binding["metadata"]["name"] != "narrows-report-scc"
                && binding["metadata"]["name"] != "narrows-auth-delegator"
        });
        roles.retain(|role| role["metadata"]["name"] != "narrows-reader");
        assert_eq!((bindings.len(), roles.len()), (number, number), "{kind}");
        for binding in bindings {
            assert_eq!(binding["roleRef"]["kind"], kind);
            let role = named(&objects, kind, binding["roleRef"]["name"].as_str().expect("a name"));
            assert_eq!(role["metadata"]["namespace"], binding["metadata"]["namespace"]);
            let subject =
                json!([{ "kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": namespace }]);
            assert_eq!(binding["subjects"], subject);
        }
    }
}

#[test]
fn the_agent_has_three_capabilities_and_no_other_privilege() {
    for objects in [base(), everything()] {
        let security = &container(&objects)["securityContext"];
        assert_eq!(
            security["capabilities"],
            json!({ "drop": ["ALL"], "add": CAPABILITIES })
        );
        assert_eq!(security["privileged"], false);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        // Kubernetes gives added capabilities to no other user.
        assert_eq!(security["runAsUser"], 0);
        let pod = &pod(&objects)["spec"];
        assert_eq!(pod["hostPID"], true);
        assert_ne!(pod["hostNetwork"], true);
        assert_ne!(pod["hostIPC"], true);
        let namespace = &only(&objects, "Namespace")["metadata"]["labels"];
        assert_eq!(namespace["pod-security.kubernetes.io/enforce"], "privileged");
    }
    let seccomp = |objects: &[Value]| container(objects)["securityContext"]["seccompProfile"]["type"].clone();
    assert_eq!(seccomp(&base()), "RuntimeDefault");
    assert_eq!(seccomp(&with(&["seccomp-unconfined"])), "Unconfined");
}

#[test]
fn of_the_node_the_agent_gets_the_cgroups_to_read_and_the_bpf_file_system_to_write() {
    let objects = base();
    let volumes = pod(&objects)["spec"]["volumes"].as_array().expect("volumes");
    let paths: Vec<_> = volumes
        .iter()
        .filter_map(|volume| volume["hostPath"]["path"].as_str())
        .collect();
    assert_eq!(paths, ["/sys/fs/cgroup", "/sys/fs/bpf"]);
    let mounts = container(&objects)["volumeMounts"].as_array().expect("mounts");
    assert_eq!(mounts.len(), volumes.len());
    for mount in mounts {
        assert_eq!(
            mount["readOnly"] == true,
            mount["mountPath"] != "/sys/fs/bpf",
            "{mount}"
        );
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
}

#[test]
fn every_node_gets_an_agent_that_the_kubelet_watches() {
    let objects = base();
    let daemon_set = only(&objects, "DaemonSet");
    assert!(selects(
        &daemon_set["spec"]["selector"],
        &pod(&objects)["metadata"]["labels"]
    ));
    let pod = &pod(&objects)["spec"];
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let classes = &only(&objects, "ResourceQuota")["spec"]["scopeSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*classes, json!(["system-node-critical"]));

    let container = container(&objects);
    for (probe, path) in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({ "path": path, "port": "metrics" }),
            "{probe}"
        );
    }
    assert!(container["resources"]["limits"]["memory"].is_string());
    assert!(container["resources"]["limits"]["cpu"].is_null());
}

#[test]
fn the_agent_finds_its_program_its_node_and_a_valid_configuration() {
    let objects = base();
    let container = container(&objects);
    assert_eq!(container["command"], json!(["/usr/bin/narrows"]));
    let image = fs::read_to_string(deploy().join("container/Containerfile")).expect("a Containerfile");
    assert!(
        image.contains("/narrows /usr/bin/narrows\n"),
        "the image has it elsewhere"
    );

    let config = only(&objects, "ConfigMap");
    let volume = json!({ "name": "config", "configMap": { "name": config["metadata"]["name"] } });
    assert!(
        pod(&objects)["spec"]["volumes"]
            .as_array()
            .expect("volumes")
            .contains(&volume)
    );
    assert_eq!(
        container["args"],
        json!(["agent", "--config", "/etc/narrows/config.yaml"])
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), config["data"]["config.yaml"].as_str().expect("text")).expect("it can be written");
    Config::read(Some(file.path())).expect("a valid configuration");

    let node = &variable(container, "NARROWS_NODE").expect("the variable")["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(*node, "spec.nodeName");
    assert_eq!(
        variable(container, "NARROWS_KUBERNETES").expect("the variable")["value"],
        "on"
    );
}

#[test]
fn prometheus_finds_the_port_by_annotation() {
    let objects = base();
    let listen = &variable(container(&objects), "NARROWS_LISTEN").expect("the variable")["value"];
    let listen: std::net::SocketAddr = listen.as_str().expect("text").parse().expect("an address");
    assert!(listen.ip().is_unspecified());
    let port = json!([{ "name": "metrics", "containerPort": listen.port(), "protocol": "TCP" }]);
    assert_eq!(container(&objects)["ports"], port);
    let annotations = &pod(&objects)["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], "true");
    assert_eq!(annotations["prometheus.io/port"], listen.port().to_string());
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
}

#[test]
fn the_image_is_built_from_all_of_the_workspace() {
    let workspace = fs::read_to_string(deploy().join("../Cargo.toml")).expect("a manifest");
    let members = workspace
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .expect("members");
    let image = fs::read_to_string(deploy().join("container/Containerfile")).expect("a Containerfile");
    for member in members
        .trim_end_matches(']')
        .split(", ")
        .map(|member| member.trim_matches('"'))
    {
        let top = member.split('/').next().expect("a directory");
        assert!(image.contains(&format!("COPY {top} {top}\n")), "{member} is not copied");
    }
}

#[test]
fn the_example_names_another_image() {
    let image = container(&build(&deploy().join("kubernetes-example")))["image"].clone();
    assert_eq!(image, "registry.example.com/narrows:0.1.0");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container(&base())["image"], format!("narrows:{version}"));
}
