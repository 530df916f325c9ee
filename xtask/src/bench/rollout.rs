//! Changes to a cluster, at a steady rate: the pods of one workload after the other are replaced.

use super::cluster::{self, Cluster, PODS};
use jiff::Timestamp;
use narrows_testbed::kubernetes::{ApiServer, Resource, manifests::Pod};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The number of changes that replace one pod.
const CHANGES_OF_ONE: usize = 8;

/// The first address that no pod has at the start.
const FREE: usize = PODS;

enum Change {
    Put(Value),
    Delete(String, String),
}

/// Makes at least `count` changes, one every `step`, so that whole pods are replaced. Returns the number of changes.
pub(crate) fn replace(server: &ApiServer, cluster: &Cluster, count: usize, step: Duration) -> usize {
    let begin = Instant::now();
    let workloads = (0..).filter(|workload| !cluster.is_stateful(*workload));
    let pods = workloads
        .flat_map(cluster::pods_of)
        .take(count.div_ceil(CHANGES_OF_ONE));
    let (mut made, mut free) = (0, FREE);
    for number in pods {
        // Addresses are reused as soon as they are free.
        for change in of_one(cluster, number, free) {
            sleep_until(begin + step * made);
            match change {
                Change::Put(pod) => server.put(Resource::Pods, pod),
                Change::Delete(namespace, name) => {
                    server.delete(Resource::Pods, &namespace, &name);
                }
            }
            made += 1;
        }
        free = number;
    }
    made as usize
}

/// Adds a new pod.
pub(crate) fn add(server: &ApiServer, cluster: &Cluster, number: usize) {
    let pod = cluster.pod(PODS + number, FREE + 1 + number);
    server.put(Resource::Pods, pod.into_value());
}

/// The changes that start a pod's successor, and then remove the pod.
fn of_one(cluster: &Cluster, number: usize, free: usize) -> [Change; CHANGES_OF_ONE] {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let old = cluster.pod(number, number);
    // Its own uid and name, on the same node.
    let mut new = since(cluster.pod(number + 2 * PODS, free), &now);
    new.0["spec"]["nodeName"] = old.0["spec"]["nodeName"].clone();
    let started = new.clone().phase("Running");
    let scheduled = with_conditions(new.ip(&[]).phase("Pending"), |kind| kind == "PodScheduled");
    let mut created = scheduled.clone();
    if let Some(spec) = created.0["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    let networked = with_conditions(started.clone(), |kind| !kind.ends_with("Ready"));
    let deleting = old.clone().deleting(&now);
    let unready = with_conditions(deleting.clone(), |kind| !kind.ends_with("Ready"));
    let finished = deleting.clone().finished(&now);
    let text = |field: &str| old.0["metadata"][field].as_str().unwrap_or_default().to_owned();
    let gone = Change::Delete(text("namespace"), text("name"));
    let [created, scheduled, networked, started, deleting, unready, finished] =
        [created, scheduled, networked, started, deleting, unready, finished].map(|pod| Change::Put(pod.into_value()));
    [
        created, scheduled, networked, started, deleting, unready, finished, gone,
    ]
}

/// Sets the start time of a pod to `now`.
fn since(pod: Pod, now: &str) -> Pod {
    let mut pod = pod.started(now);
    pod.0["metadata"]["creationTimestamp"] = json!(now);
    for condition in pod.0["status"]["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(now);
    }
    pod
}

/// Sets all but some of a pod's conditions to false.
fn with_conditions(mut pod: Pod, holds: impl Fn(&str) -> bool) -> Pod {
    for condition in pod.0["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if !condition["type"].as_str().is_some_and(&holds) {
            condition["status"] = json!("False");
        }
    }
    pod
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}
