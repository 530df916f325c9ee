//! The manifests as a real kustomize builds them, and the places in them that tests look at.

use narrows_testbed::{command, tools::tool};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The directory `deploy`.
pub fn deploy() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    directory.canonicalize().expect("the repository has it")
}

/// Runs a command that has to succeed.
#[track_caller]
pub fn succeed(program: &mut Command) -> Output {
    let output = command::output(program).expect("it starts");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(
        output.status.success(),
        "{program:?}: {}",
        String::from_utf8_lossy(&said)
    );
    output
}

/// The objects that kustomize makes of a directory.
pub fn build(directory: &Path) -> Vec<Value> {
    let kubectl = tool("kubectl").expect("a kubectl");
    let output = succeed(Command::new(kubectl).arg("kustomize").arg(directory));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    serde_saphyr::from_multiple(&text).expect("YAML")
}

/// What everybody gets.
pub fn base() -> Vec<Value> {
    static BUILT: OnceLock<Vec<Value>> = OnceLock::new();
    BUILT.get_or_init(|| build(&deploy().join("kubernetes"))).clone()
}

/// The names of all components, in the order of the alphabet.
pub fn components() -> Vec<String> {
    let entries = fs::read_dir(deploy().join("kubernetes/components")).expect("components");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The base with these components.
pub fn with<S: AsRef<str>>(components: &[S]) -> Vec<Value> {
    overlay(components, json!({}))
}

/// The base with these components, and what else an overlay may say.
pub fn overlay<S: AsRef<str>>(components: &[S], mut kustomization: Value) -> Vec<Value> {
    let overlay = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    // kustomize takes relative paths only.
    let depth = overlay.path().canonicalize().expect("it exists").components().count() - 1;
    let kubernetes = format!("{}{}/kubernetes", "../".repeat(depth), deploy().display());
    let components: Vec<_> = components
        .iter()
        .map(|name| format!("{kubernetes}/components/{}", name.as_ref()))
        .collect();
    kustomization["resources"] = json!([kubernetes]);
    kustomization["components"] = json!(components);
    fs::write(overlay.path().join("kustomization.yaml"), kustomization.to_string()).expect("it can be written");
    build(overlay.path())
}

/// The base with all components: what one adds the next ones change, so those that only change come last.
pub fn everything() -> Vec<Value> {
    static BUILT: OnceLock<Vec<Value>> = OnceLock::new();
    let build = || {
        let mut all = components();
        all.sort_by_key(|name| name == "kube-prometheus-stack");
        with(&all)
    };
    BUILT.get_or_init(build).clone()
}

pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[track_caller]
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// The object of this kind and name.
#[track_caller]
pub fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    let found = found.iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

pub fn pod(objects: &[Value]) -> &Value {
    &only(objects, "DaemonSet")["spec"]["template"]
}

pub fn container(objects: &[Value]) -> &Value {
    let containers = &pod(objects)["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    &containers[0]
}

pub fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    let variables = container["env"].as_array().expect("variables");
    variables.iter().find(|variable| variable["name"] == name)
}

/// Whether everything that a selector asks for is among the labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let asked = selector["matchLabels"].as_object().expect("labels");
    !asked.is_empty() && asked.iter().all(|(name, value)| labels[name] == *value)
}
