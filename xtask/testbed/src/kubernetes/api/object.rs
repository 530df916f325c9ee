//! An object as it is stored: serialised once, with the fields that selectors need.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::resource::Resource;

/// The `apiVersion` of objects of which only `metadata` is served.
pub(super) const METADATA_VERSION: &str = "meta.k8s.io/v1";

/// One state of one object.
#[derive(Debug)]
pub(super) struct Object {
    /// The JSON without `kind` and `apiVersion`, as in the items of a list.
    pub json: Box<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: Box<str>,
    pub name: Box<str>,
    /// `spec.nodeName`, empty when there is none.
    pub node: Box<str>,
    /// `status.phase`, empty when there is none.
    pub phase: Box<str>,
    pub labels: Box<[(Box<str>, Box<str>)]>,
    uid: Box<str>,
    created: Box<str>,
}

impl Object {
    /// Completes a user's object as an API server does. `previous` is the object that it replaces.
    ///
    /// # Panics
    /// When it is not an object with a name: the test is wrong.
    pub fn new(resource: Resource, mut value: Value, version: u64, previous: Option<&Self>) -> Self {
        let (namespace, name) = place(resource, &value);
        let top = value.as_object_mut().expect("place() looked into it");
        top.remove("kind");
        top.remove("apiVersion");
        let metadata = top["metadata"].as_object_mut().expect("place() looked into it");
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
        let uid = kept(metadata, "uid", || match previous {
            Some(previous) => previous.uid.to_string(),
            None => new_uid(version),
        });
        let created = kept(metadata, "creationTimestamp", || match previous {
            Some(previous) => previous.created.to_string(),
            None => Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        let labels = metadata.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        let labels = labels.map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or_default().into()));
        let labels = labels.collect();
        let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or_default().into();
        Self {
            node: text("/spec/nodeName"),
            phase: text("/status/phase"),
            json: value.to_string().into(),
            namespace: namespace.into(),
            name: name.into(),
            labels,
            uid: uid.into(),
            created: created.into(),
        }
    }

    /// The same state under another resource version: how a deletion shows the last state.
    pub fn with_version(&self, resource: Resource, version: u64) -> Self {
        let value = serde_json::from_str(&self.json).expect("it was serialised here");
        Self::new(resource, value, version, Some(self))
    }

    /// The JSON with `kind` and `apiVersion`, as outside of lists.
    pub fn write_whole(&self, resource: Resource, out: &mut String) {
        out.push_str(r#"{"kind":""#);
        out.push_str(resource.kind());
        out.push_str(r#"","apiVersion":"v1","#);
        // The object is never empty, as it has metadata.
        out.push_str(&self.json[1..]);
    }

    /// What `as=PartialObjectMetadata` leaves of it.
    pub fn metadata(&self) -> String {
        let object: Value = serde_json::from_str(&self.json).expect("it was serialised here");
        let metadata = &object["metadata"];
        json!({"kind": "PartialObjectMetadata", "apiVersion": METADATA_VERSION, "metadata": metadata}).to_string()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(name, _)| &**name == key);
        found.map(|(_, value)| &**value)
    }
}

/// The namespace and the name of a user's object.
///
/// # Panics
/// When it has no name.
pub(super) fn place(resource: Resource, value: &Value) -> (String, String) {
    let metadata = |field: &str| value["metadata"][field].as_str().filter(|text| !text.is_empty());
    let Some(name) = metadata("name") else {
        panic!("one of the {resource} has no metadata.name: {value}");
    };
    let namespace = match resource.namespaced() {
        true => metadata("namespace").unwrap_or("default"),
        false => "",
    };
    (namespace.to_owned(), name.to_owned())
}

/// A text field that is set to `new` when it is absent.
fn kept(metadata: &mut Map<String, Value>, field: &str, new: impl FnOnce() -> String) -> String {
    if let Some(Value::String(text)) = metadata.get(field) {
        return text.clone();
    }
    let text = new();
    metadata.insert(field.to_owned(), json!(text));
    text
}

/// A new uid in the form of a UUID. It is unique, so a re-created object is a different one.
fn new_uid(version: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() & 0xffff_ffff;
    let nanoseconds = now.subsec_nanos() & 0xfff;
    let low = version & 0xffff_ffff_ffff;
    format!("{seconds:08x}-0000-4{nanoseconds:03x}-8000-{low:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_metadata_and_keeps_identity() {
        let pod = |phase: &str| {
            json!({
                "kind": "Pod", "apiVersion": "v1",
                "metadata": {"name": "a", "labels": {"app": "x"}},
                "spec": {"nodeName": "n1"}, "status": {"phase": phase},
            })
        };
        let first = Object::new(Resource::Pods, pod("Pending"), 7, None);
        let second = Object::new(Resource::Pods, pod("Running"), 9, Some(&first));
        assert_eq!((&*first.namespace, &*first.name, &*first.node), ("default", "a", "n1"));
        assert_eq!((&*first.phase, &*second.phase), ("Pending", "Running"));
        assert_eq!(second.label("app"), Some("x"));
        let (first, second): (Value, Value) = (parse(&first.json), parse(&second.json));
        assert_eq!(first["metadata"]["resourceVersion"], "7");
        assert_eq!(second["metadata"]["resourceVersion"], "9");
        assert_eq!(first["metadata"]["uid"], second["metadata"]["uid"]);
        assert_eq!(
            first["metadata"]["creationTimestamp"],
            second["metadata"]["creationTimestamp"]
        );
        assert!(first.get("kind").is_none(), "items of lists have no kind: {first}");
    }

    #[test]
    fn cluster_scoped_objects_have_no_namespace() {
        let node = json!({"metadata": {"name": "n1", "namespace": "x"}});
        let node = Object::new(Resource::Nodes, node, 1, None);
        assert_eq!(&*node.namespace, "");
        let mut whole = String::new();
        node.write_whole(Resource::Nodes, &mut whole);
        let whole = parse(&whole);
        assert_eq!((&whole["kind"], &whole["apiVersion"]), (&json!("Node"), &json!("v1")));
        assert!(whole["metadata"].get("namespace").is_none());
    }

    fn parse(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }
}
