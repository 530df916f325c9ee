//! Changes to pods as they occur during their lifetime.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

/// A pod to be changed before it is served.
///
/// Everything stays as the manifest has it unless a method changes it; in particular two pods from one manifest need
/// a name, a [`uid`](Pod::uid) and [container ids](Pod::container_id) of their own.
#[derive(Clone, Debug)]
pub struct Pod(pub Value);

impl Pod {
    /// The pod `manifest`, one of [`ALL`](super::ALL).
    pub fn of(manifest: &str) -> Self {
        Self(super::pod(manifest))
    }

    /// Gives it a namespace and a name.
    #[must_use]
    pub fn named(mut self, namespace: &str, name: &str) -> Self {
        self.0["metadata"]["namespace"] = json!(namespace);
        self.0["metadata"]["name"] = json!(name);
        self
    }

    /// Sets its uid.
    #[must_use]
    pub fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    /// Binds it to a node.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        self.0["spec"]["nodeName"] = json!(name);
        self
    }

    /// Gives it these addresses; none, as before its network is set up, when the list is empty.
    #[must_use]
    pub fn ip(mut self, addresses: &[&str]) -> Self {
        let status = object(&mut self.0["status"]);
        status.remove("podIP");
        status.remove("podIPs");
        if let Some(first) = addresses.first() {
            let all: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
            status.insert("podIP".to_owned(), json!(first));
            status.insert("podIPs".to_owned(), json!(all));
        }
        self
    }

    /// Gives a container, also one of the init containers, the id under which its runtime knows it, with the prefix
    /// (`containerd://…`).
    ///
    /// # Panics
    ///
    /// When the pod has no such container.
    #[must_use]
    pub fn container_id(mut self, container: &str, id: &str) -> Self {
        let status = statuses(&mut self.0)
            .find(|status| status["name"] == container)
            .unwrap_or_else(|| panic!("the pod has no container {container}"));
        status["containerID"] = json!(id);
        if let Some(terminated) = status.pointer_mut("/state/terminated") {
            terminated["containerID"] = json!(id);
        }
        self
    }

    /// Sets a label of the pod.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Sets an annotation of the pod.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Makes an object of this kind its controller, replacing the previous one.
    #[must_use]
    pub fn owner(mut self, kind: &str, name: &str) -> Self {
        let api = match kind {
            "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Deployment" => "apps/v1",
            "Job" | "CronJob" => "batch/v1",
            "Node" | "Pod" | "ReplicationController" => "v1",
            _ => "example.com/v1",
        };
        let mut hasher = DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        let low = hasher.finish() & 0xffff_ffff_ffff;
        self.0["metadata"]["ownerReferences"] = json!([{
            "apiVersion": api,
            "kind": kind,
            "name": name,
            "uid": format!("00000000-0000-4000-8000-{low:012x}"),
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        self
    }

    /// Sets the phase (`Pending`, `Running`, `Failed`), and nothing else.
    #[must_use]
    pub fn phase(mut self, phase: &str) -> Self {
        self.0["status"]["phase"] = json!(phase);
        self
    }

    /// Sets the start time of the pod, its network and each running container.
    #[must_use]
    pub fn started(mut self, time: &str) -> Self {
        self.0["status"]["startTime"] = json!(time);
        for status in statuses(&mut self.0) {
            if let Some(running) = status.pointer_mut("/state/running") {
                running["startedAt"] = json!(time);
            }
        }
        for condition in entries(&mut self.0, "conditions") {
            condition["lastTransitionTime"] = json!(time);
        }
        self
    }

    /// Ends every container that runs, at `time` and without an error; the pod is then `Succeeded`.
    #[must_use]
    pub fn finished(mut self, time: &str) -> Self {
        for status in statuses(&mut self.0) {
            let Some(running) = status.pointer("/state/running") else {
                continue;
            };
            let terminated = json!({
                "containerID": status["containerID"],
                "exitCode": 0,
                "reason": "Completed",
                "startedAt": running["startedAt"],
                "finishedAt": time,
            });
            status["state"] = json!({ "terminated": terminated });
            status["ready"] = json!(false);
            status["started"] = json!(false);
        }
        // The sandbox ends with the last container, and so does its readiness.
        let over = ["PodReadyToStartContainers", "Ready", "ContainersReady"];
        for condition in entries(&mut self.0, "conditions") {
            if condition["type"].as_str().is_some_and(|kind| over.contains(&kind)) {
                condition["status"] = json!("False");
                condition["lastTransitionTime"] = json!(time);
            }
        }
        self.phase("Succeeded")
    }

    /// Marks it as being deleted since `time`; its containers still run.
    #[must_use]
    pub fn deleting(mut self, time: &str) -> Self {
        let grace = self.0["spec"]["terminationGracePeriodSeconds"].clone();
        self.0["metadata"]["deletionTimestamp"] = json!(time);
        self.0["metadata"]["deletionGracePeriodSeconds"] = grace;
        self
    }

    /// The object, to be served.
    pub fn into_value(self) -> Value {
        self.0
    }
}

/// The statuses of all containers, init containers too.
fn statuses(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let status = object(&mut pod["status"]);
    let lists = status
        .iter_mut()
        .filter(|(key, _)| matches!(key.as_str(), "initContainerStatuses" | "containerStatuses"));
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

fn entries<'a>(pod: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    pod["status"][key].as_array_mut().into_iter().flatten()
}

fn object(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    value.as_object_mut().expect("the status of a manifest is a mapping")
}
