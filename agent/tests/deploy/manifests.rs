//! The manifests as a real kustomize builds them, and the places in them that tests look at.

use narrows_testbed::{command, tools::tool};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
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
    build(&deploy().join("kubernetes"))
}

/// The names of all components.
pub fn components() -> Vec<String> {
    let entries = fs::read_dir(deploy().join("kubernetes/components")).expect("components");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.collect()
}

/// The base with these components.
pub fn with(components: &[String]) -> Vec<Value> {
    let overlay = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    // kustomize takes relative paths only.
    let depth = overlay.path().canonicalize().expect("it exists").components().count() - 1;
    let kubernetes = format!("{}{}/kubernetes", "../".repeat(depth), deploy().display());
    let components: Vec<_> = components
        .iter()
        .map(|name| format!("{kubernetes}/components/{name}"))
        .collect();
    let kustomization = json!({ "resources": [kubernetes], "components": components }).to_string();
    fs::write(overlay.path().join("kustomization.yaml"), kustomization).expect("it can be written");
    build(overlay.path())
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
