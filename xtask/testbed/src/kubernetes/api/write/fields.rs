//! Who owns which fields of an object: `metadata.managedFields`.
//!
//! A path has the steps of `fieldsV1`: `f:<name>` for a member of a map, `k:<keys>` for an item of a list that is a map.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A path to a field.
pub(super) type Path = Vec<String>;

/// A set of fields that have no further fields.
pub(super) type Paths = BTreeSet<Path>;

/// Fields of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set(Paths);

/// Maps and lists that are owned as a whole, by the names of the members that hold them (`structType`, `mapType` and `listType`
/// in the API's types).
const ATOMIC: [&str; 8] = [
    "fieldRef",
    "nodeSelector",
    "resourceFieldRef",
    "roleRef",
    "scopeSelector",
    "selector",
    "secretKeyRef",
    "configMapKeyRef",
];

/// The keys of lists that are maps, by the names of the members that hold them (`listMapKey`). Other lists are atomic.
pub(super) fn keys(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" | "secrets" => &["name"],
        "ports" => &["containerPort", "protocol"],
        "volumeMounts" => &["mountPath"],
        _ => return None,
    })
}

/// Whether a map is owned as a whole.
pub(super) fn is_atomic(member: &str) -> bool {
    ATOMIC.contains(&member)
}

/// The keys of an item as a JSON object.
pub(super) fn key_of(keys: &[&str], item: &Value) -> Value {
    let pairs = keys.iter().map(|key| {
        let value = match (*key, &item[*key]) {
            // A key that has a default.
            ("protocol", Value::Null) => json!("TCP"),
            (_, value) => value.clone(),
        };
        ((*key).to_owned(), value)
    });
    Value::Object(pairs.collect())
}

impl Set {
    /// All fields of an object that somebody may own.
    pub fn of(object: &Value) -> Self {
        let mut object = object.clone();
        for name in ["apiVersion", "kind", "status"] {
            object.as_object_mut().map(|object| object.remove(name));
        }
        let metadata = [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ];
        for name in metadata {
            object["metadata"].as_object_mut().map(|metadata| metadata.remove(name));
        }
        let mut paths = Paths::new();
        collect(&object, "", &mut Vec::new(), &mut paths);
        paths.remove(&vec!["f:metadata".to_owned()]);
        Self(paths)
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    pub fn retain(&mut self, keep: impl FnMut(&Path) -> bool) {
        self.0.retain(keep);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// As in `fieldsV1`.
    fn to_json(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            let mut at = &mut root;
            for step in path {
                let next = at.entry(step.clone()).or_insert_with(|| json!({}));
                at = next.as_object_mut().expect("every member is a map");
            }
        }
        Value::Object(root)
    }

    fn from_json(value: &Value) -> Self {
        fn read(value: &Value, path: &mut Path, paths: &mut Paths) {
            let members = value.as_object().into_iter().flatten().filter(|(step, _)| *step != ".");
            let before = paths.len();
            for (step, value) in members {
                path.push(step.clone());
                read(value, path, paths);
                path.pop();
            }
            if paths.len() == before && !path.is_empty() {
                paths.insert(path.clone());
            }
        }
        let mut paths = Paths::new();
        read(value, &mut Vec::new(), &mut paths);
        Self(paths)
    }
}

impl FromIterator<Path> for Set {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

fn collect(value: &Value, member: &str, path: &mut Path, paths: &mut Paths) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic(member) => {
            for (name, value) in map {
                path.push(format!("f:{name}"));
                collect(value, name, path, paths);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() && keys(member).is_some() => {
            let keys = keys(member).unwrap_or_default();
            for item in items {
                path.push(format!("k:{}", key_of(keys, item)));
                collect(item, "", path, paths);
                path.pop();
            }
        }
        _ => {
            paths.insert(path.clone());
        }
    }
}

/// The item of a list that has the keys of a step.
fn position(items: &[Value], step: &str) -> Option<usize> {
    let key: Value = serde_json::from_str(step.strip_prefix("k:")?).ok()?;
    let names: Vec<&str> = key.as_object()?.keys().map(String::as_str).collect();
    items.iter().position(|item| key_of(&names, item) == key)
}

/// The value at a path.
pub(super) fn at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| match value {
        Value::Array(items) => items.get(position(items, step)?),
        _ => value.get(step.strip_prefix("f:")?),
    })
}

/// Removes what is at a path.
pub(super) fn remove(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let parent = parents.iter().try_fold(object, |value, step| match value {
        Value::Array(items) => {
            let position = position(items, step)?;
            items.get_mut(position)
        }
        _ => value.get_mut(step.strip_prefix("f:")?),
    });
    match parent {
        Some(Value::Object(map)) => {
            map.remove(last.strip_prefix("f:").unwrap_or(last));
        }
        Some(Value::Array(items)) => {
            if let Some(position) = position(items, last) {
                items.remove(position);
            }
        }
        _ => {}
    }
}

/// A path as messages have it: `.spec.containers[name="x"].image`.
pub(super) fn display(path: &[String]) -> String {
    let step = |step: &String| match step.split_once(':') {
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let keys = keys
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name}={value}"));
            format!("[{}]", keys.collect::<Vec<_>>().join(","))
        }
        Some((_, name)) => format!(".{name}"),
        None => step.clone(),
    };
    path.iter().map(step).collect()
}

/// An entry of `managedFields`.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    name: String,
    operation: String,
    version: String,
    pub set: Set,
}

impl Manager {
    /// All managers of an object.
    pub fn all(object: &Value) -> Vec<Self> {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries
            .map(|entry| Self {
                name: text(&entry["manager"]),
                operation: text(&entry["operation"]),
                version: text(&entry["apiVersion"]),
                set: Set::from_json(&entry["fieldsV1"]),
            })
            .collect()
    }

    pub fn is(&self, name: &str, operation: &str) -> bool {
        self.name == name && self.operation == operation
    }

    /// The manager, which is added if it is not there.
    pub fn find<'a>(managers: &'a mut Vec<Self>, name: &str, operation: &str, version: &str) -> &'a mut Self {
        let found = managers.iter().position(|manager| manager.is(name, operation));
        let position = found.unwrap_or_else(|| {
            managers.push(Self {
                name: name.to_owned(),
                operation: operation.to_owned(),
                version: version.to_owned(),
                set: Set::default(),
            });
            managers.len() - 1
        });
        &mut managers[position]
    }

    /// Writes the managers that own something into an object.
    pub fn keep(managers: &[Self], object: &mut Value) {
        let entries = managers
            .iter()
            .filter(|manager| !manager.set.is_empty())
            .map(|manager| {
                json!({
                    "manager": manager.name, "operation": manager.operation, "apiVersion": manager.version,
                    "fieldsType": "FieldsV1", "fieldsV1": manager.set.to_json(),
                })
            });
        object["metadata"]["managedFields"] = entries.collect();
    }

    /// As conflicts name it.
    pub fn describe(&self) -> String {
        match self.operation.as_str() {
            "Update" => format!("conflict with \"{}\" using {}", self.name, self.version),
            _ => format!("conflict with \"{}\"", self.name),
        }
    }
}
