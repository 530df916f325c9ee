//! Writing objects: create, strategic merge patch, and server-side apply, as far as `kubectl apply` needs them.
//!
//! What is written is kept by itself, in the form in which a real server stores it, and is served to gets; the lists and
//! watches of [`super::ApiServer`] have only what tests put there.

mod canonical;
mod discovery;
mod fields;
mod kinds;
mod merge;
mod quantity;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use super::answer::Status;
use super::question::Question;
pub(super) use discovery::discover;
use fields::{Manager, Set};
use kinds::Place;

/// The objects that clients have written, by their paths.
#[derive(Debug, Default)]
pub(super) struct Written {
    objects: BTreeMap<String, Value>,
    version: u64,
}

impl Written {
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.objects.get(path)
    }

    /// All objects with their paths.
    pub fn all(&self) -> BTreeMap<String, Value> {
        self.objects.clone()
    }

    /// Performs a request that changes an object. Returns the status of the answer, and the object.
    pub fn write(
        &mut self,
        method: &Method,
        question: &Question,
        content_type: &str,
        body: &[u8],
    ) -> Result<(u16, Value), Status> {
        let place =
            Place::of(&question.path).ok_or_else(|| Status::new(404, "the server could not find the resource"))?;
        let manager = question.parameter("fieldManager").unwrap_or("unknown").to_owned();
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Status::new(400, format!("the object provided is unrecognized: {error}")))?;
        let (path, live) = match &place.name {
            Some(_) => (question.path.clone(), self.objects.get(&question.path).cloned()),
            None => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                (format!("{}/{name}", question.path), None)
            }
        };
        self.require_namespace(&place)?;
        let (status, object) = match (method, content_type, live) {
            (&Method::POST, ..) if self.objects.contains_key(&path) => {
                return Err(Status::new(409, format!("{} already exists", place.describe(&body))));
            }
            (&Method::POST, ..) => (201, updated(&place, &manager, None, body)),
            (&Method::PATCH, "application/apply-patch+yaml", live) => {
                let force = question.flag("force");
                (
                    if live.is_some() { 200 } else { 201 },
                    applied(&place, &manager, force, live, body)?,
                )
            }
            (&Method::PATCH, "application/strategic-merge-patch+json", Some(live)) => {
                let mut patched = live.clone();
                merge::strategic(&mut patched, body);
                (200, updated(&place, &manager, Some(&live), patched))
            }
            (&Method::PATCH, "application/json-patch+json", Some(live)) => (200, replaced(live, &body)?),
            (_, _, None) => return Err(Status::new(404, format!("{path} not found"))),
            _ => {
                return Err(Status::new(
                    415,
                    format!("this server has no {method} of {content_type:?}"),
                ));
            }
        };
        Ok((status, self.store(path, object)))
    }

    fn require_namespace(&self, place: &Place) -> Result<(), Status> {
        match &place.namespace {
            Some(namespace) if !self.objects.contains_key(&format!("/api/v1/namespaces/{namespace}")) => {
                Err(Status::new(404, format!("namespaces \"{namespace}\" not found")))
            }
            _ => Ok(()),
        }
    }

    /// Stores an object under a new version, unless it is as it was.
    fn store(&mut self, path: String, mut object: Value) -> Value {
        if let Some(live) = self.objects.get(&path)
            && *live == object
        {
            return object;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("7e57ab1e-0000-4000-8000-{:012x}", self.version));
        }
        self.objects.insert(path, object.clone());
        object
    }
}

/// An object as it is after a manager has written all of it. The manager then owns what it has changed.
fn updated(place: &Place, manager: &str, live: Option<&Value>, object: Value) -> Value {
    let mut object = canonical::canonical(place, object);
    let mut managers = Manager::all(&object);
    let before = live.map(Set::of).unwrap_or_default();
    let mut changed = Set::of(&object);
    changed.retain(|path| {
        !before.contains(path) || fields::at(live.unwrap_or(&Value::Null), path) != fields::at(&object, path)
    });
    if !changed.is_empty() {
        for other in &mut managers {
            other.set.retain(|path| !changed.contains(path));
        }
        Manager::find(&mut managers, manager, "Update", place.version)
            .set
            .extend(changed);
    }
    Manager::keep(&managers, &mut object);
    object
}

/// An object as it is after a manager has applied a configuration (server-side apply).
fn applied(place: &Place, manager: &str, force: bool, live: Option<Value>, config: Value) -> Result<Value, Status> {
    let wanted = Set::of(&config);
    let Some(live) = live else {
        let mut object = canonical::canonical(place, config);
        let mut managers = Vec::new();
        Manager::find(&mut managers, manager, "Apply", place.version).set = wanted;
        Manager::keep(&managers, &mut object);
        return Ok(object);
    };
    let mut managers = Manager::all(&live);
    let differs = |path: &fields::Path| fields::at(&live, path) != fields::at(&config, path);
    let mut conflicts = Vec::new();
    for other in managers.iter_mut().filter(|other| !other.is(manager, "Apply")) {
        let lost: Set = other
            .set
            .iter()
            .filter(|path| wanted.contains(path) && differs(path))
            .cloned()
            .collect();
        conflicts.extend(lost.iter().map(|path| (other.describe(), fields::display(path))));
        other.set.retain(|path| !lost.contains(path));
    }
    if !conflicts.is_empty() && !force {
        return Err(conflict(&conflicts));
    }
    let own = Manager::find(&mut managers, manager, "Apply", place.version);
    let given_up: Set = own.set.iter().filter(|path| !wanted.contains(path)).cloned().collect();
    own.set = wanted;
    let mut object = live;
    merge::apply(&mut object, config);
    for path in given_up
        .iter()
        .filter(|path| !managers.iter().any(|manager| manager.set.contains(path)))
    {
        fields::remove(&mut object, path);
    }
    let mut object = canonical::canonical(place, object);
    Manager::keep(&managers, &mut object);
    Ok(object)
}

fn conflict(conflicts: &[(String, String)]) -> Status {
    let each = conflicts.iter().map(|(who, field)| format!("{who}: {field}"));
    let message = format!(
        "Apply failed with {} conflict(s): {}",
        conflicts.len(),
        each.collect::<Vec<_>>().join("\n")
    );
    let causes = conflicts
        .iter()
        .map(|(who, field)| json!({"reason": "FieldManagerConflict", "message": who, "field": field}));
    Status::new(409, message).with_details(json!({"causes": causes.collect::<Vec<_>>()}))
}

/// A JSON patch that replaces members, as the one by which kubectl moves fields from one manager to another.
fn replaced(mut object: Value, patch: &Value) -> Result<Value, Status> {
    for step in patch.as_array().into_iter().flatten() {
        let path = step["path"].as_str().unwrap_or_default();
        if step["op"] != "replace" {
            return Err(Status::new(422, format!("this server replaces only: {step}")));
        }
        if path == "/metadata/resourceVersion" {
            if step["value"] != object["metadata"]["resourceVersion"] {
                return Err(Status::new(409, "the object has been modified"));
            }
            continue;
        }
        match object.pointer_mut(path) {
            Some(value) => *value = step["value"].clone(),
            None => return Err(Status::new(422, format!("there is no {path}"))),
        }
    }
    Ok(object)
}
