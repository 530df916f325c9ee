//! Whether the cluster is read at all: flags, the configuration file, and what the environment names.

use crate::common::{
    binary,
    cluster::{Cluster, NODE},
    turn,
};
use narrows_testbed::{agent::Agent, command, kubernetes::Resource, wait};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use tempfile::TempDir;

/// A directory for the files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, contents).expect("written");
        file
    }

    /// The agent as somebody runs it whose environment names this cluster.
    fn with_kubeconfig(&self, kubeconfig: &Path) -> PathBuf {
        let script = format!(
            "#!/bin/sh\nKUBECONFIG='{}' exec '{}' \"$@\"\n",
            kubeconfig.display(),
            binary().display()
        );
        let file = self.write("narrows", &script);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("set");
        file
    }
}

/// Runs it to its end, where no cluster is.
fn run(arguments: &[&str]) -> Output {
    let mut narrows = Command::new(binary());
    narrows.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    command::output(narrows.args(arguments)).expect("it runs")
}

/// Runs `narrows agent` to its end.
fn fails(arguments: &[&str], kubeconfig: Option<&Path>) -> String {
    let mut narrows = Command::new(binary());
    narrows.env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBECONFIG");
    if let Some(file) = kubeconfig {
        narrows.env("KUBECONFIG", file);
    }
    narrows.args(["agent", "--listen", "127.0.0.1:0"]).args(arguments);
    let output = command::output(&mut narrows).expect("it runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    // The log comes before it; nothing comes after it.
    let (_, said) = text
        .rsplit_once("narrows: ")
        .unwrap_or_else(|| panic!("no sentence: {text}"));
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {text}");
    said.trim_end().to_owned()
}

const NO_CLUSTER: &str = "there is no cluster here: neither KUBECONFIG nor a service account";

#[test]
fn on_without_a_cluster_is_an_error() {
    let _turn = turn();
    let said = fails(&["--kubernetes", "on"], None);
    assert!(said.contains(NO_CLUSTER), "{said}");
    let output = run(&["check", "--kubernetes", "on"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let rows = table.lines().filter(|row| row.starts_with("Kubernetes"));
    let rows: Vec<_> = rows.collect();
    assert!(
        matches!(rows[..], [row] if row.contains("  MISSING  ") && row.contains(NO_CLUSTER)),
        "{table}"
    );
}

#[test]
fn auto_without_a_cluster_goes_on_with_the_inventory() {
    let _turn = turn();
    let inventory = "workloads: []\n";
    let agent = Agent::start(binary(), inventory, &["--kubernetes", "auto"]).expect("it starts");
    let said = "no cluster: identities are those of the inventory";
    assert_eq!(agent.stderr().matches(said).count(), 1, "{}", agent.stderr());
    let status = agent.get_json("/api/v1/status");
    assert_eq!(status["kubernetes"], serde_json::Value::Null);
    assert_eq!(agent.metrics().series("narrows_identity_synced").count(), 0);
    let output = run(&["check"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !table.contains("Kubernetes"), "{table}");
}

#[test]
fn an_empty_kubeconfig_variable_is_as_good_as_none() {
    let _turn = turn();
    let files = Files::new();
    let narrows = files.with_kubeconfig(Path::new(""));
    let agent = Agent::start(&narrows, "workloads: []\n", &[]).expect("it starts");
    assert!(agent.stderr().contains("no cluster"), "{}", agent.stderr());
    let said = fails(&["--kubernetes", "on"], Some(Path::new("")));
    assert!(said.contains(NO_CLUSTER), "{said}");
}

#[test]
fn off_asks_the_api_server_nothing() {
    let cluster = Cluster::new();
    let files = Files::new();
    let narrows = files.with_kubeconfig(cluster.api.kubeconfig());
    let settings = ["off", "\"off\""].map(|mode| cluster_settings(&files, mode));
    let arguments: [&[&str]; 3] = [
        &["--kubernetes", "off"],
        &["--config", &settings[0]],
        &["--config", &settings[1]],
    ];
    for arguments in arguments {
        let agent = Agent::start(&narrows, "workloads: []\n", arguments).expect("it starts");
        agent.settle();
        assert!(agent.stderr().contains("no cluster"), "{}", agent.stderr());
    }
    let broken = files.write("broken", "clusters: 7\n");
    let narrows = files.with_kubeconfig(&broken);
    Agent::start(&narrows, "workloads: []\n", &["--kubernetes", "off"]).expect("it is not read");
    assert!(cluster.api.asked().is_empty(), "{:?}", cluster.api.asked());
}

/// A configuration file with this mode.
fn cluster_settings(files: &Files, mode: &str) -> String {
    let name = format!("{}.yaml", mode.trim_matches('"').len() + mode.len());
    let contents = format!("kubernetes: {{ mode: {mode}, scope: node, node: {NODE} }}\n");
    files.write(&name, &contents).display().to_string()
}

#[test]
fn a_configuration_file_turns_it_on_and_names_scope_and_node() {
    let cluster = Cluster::new();
    let files = Files::new();
    let narrows = files.with_kubeconfig(cluster.api.kubeconfig());
    for mode in ["on", "\"on\"", "auto"] {
        let settings = cluster_settings(&files, mode);
        let agent = Agent::start(&narrows, "workloads: []\n", &["--config", &settings]).expect("it starts");
        let metrics = agent.wait_for("the pods of this node", |metrics| {
            metrics.sum("narrows_identity_synced", &[("source", "node_pods")]) == 1.0
        });
        assert_eq!(
            metrics.get("narrows_identity_synced", &[("source", "cluster_pods")]),
            None,
            "{mode}"
        );
        let status = agent.get_json("/api/v1/status");
        assert_eq!(status["kubernetes"]["scope"], "node", "{mode}");
        assert_eq!(status["kubernetes"]["node"], NODE, "{mode}");
    }
    let pods = cluster.api.asked();
    let mut pods = pods.iter().filter(|asked| asked.resource == Some(Resource::Pods));
    assert!(pods.all(|asked| asked.field_selector.as_deref() == Some("spec.nodeName=worker-1")));
    // Without a cluster, `on` is an error also when it comes from a file.
    for mode in ["on", "\"on\""] {
        let settings = cluster_settings(&files, mode);
        let said = fails(&["--config", &settings], None);
        assert!(said.contains(NO_CLUSTER), "{mode}: {said}");
    }
}

#[test]
fn what_is_wrong_in_a_configuration_file_is_named_with_its_line() {
    let _turn = turn();
    let files = Files::new();
    for (contents, sentence) in [
        (
            "kubernetes:\n  mode: on\n  nodes: worker-1\n",
            "narrows.yaml:3: unknown field `nodes`",
        ),
        (
            "kubernetes:\n  mode: maybe\n",
            "narrows.yaml:2: unknown variant `maybe`",
        ),
        ("kubernetes:\n  scope: zone\n", "narrows.yaml:2: unknown variant `zone`"),
        ("identity:\n  waiting: 1\n", "narrows.yaml:2: unknown field `waiting`"),
        ("identity:\n  wait: 601\n", "identity.wait is 601"),
    ] {
        let file = files.write("narrows.yaml", contents);
        let said = fails(&["--config", &file.display().to_string()], None);
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_broken_kubeconfig_is_named() {
    let _turn = turn();
    let files = Files::new();
    let mut broken = vec![files.0.path().join("not-there")];
    for (name, contents) in [
        ("no-yaml", "clusters: [\n"),
        ("no-kubeconfig", "clusters: 7\n"),
        (
            "no-context",
            "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n",
        ),
        (
            "no-such-context",
            "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\ncurrent-context: nowhere\n",
        ),
        ("empty", ""),
    ] {
        broken.push(files.write(name, contents));
    }
    for file in &broken {
        for mode in ["on", "auto"] {
            let said = fails(&["--kubernetes", mode], Some(file));
            assert!(
                said.contains("KUBECONFIG") && said.contains(&file.display().to_string()),
                "{}: {said}",
                file.display()
            );
        }
    }
}

#[test]
fn a_token_that_is_not_accepted_is_named() {
    let cluster = Cluster::new();
    let files = Files::new();
    let text = fs::read_to_string(cluster.api.kubeconfig()).expect("a kubeconfig");
    let other = files.write("kubeconfig", &text.replace(cluster.api.token(), "none-of-ours"));
    let agent = Agent::start_in_cluster(binary(), &other, NODE, &[]).expect("it starts");
    let sentence = "cannot list services: the API server does not accept the agent's token (401)";
    wait::until(sentence, Duration::from_secs(20), || {
        let status = agent.get_json("/api/v1/status");
        let sources = status["kubernetes"]["sources"].as_array()?.clone();
        let services = sources.iter().find(|source| source["source"] == "services")?;
        services["error"].as_str()?.contains(sentence).then_some(())
    })
    .expect("it is said");
}
