//! The owner of one cgroup: by the inventory, by the pod in its path, by its processes.

use super::Observer;
use crate::{
    identity::{
        Identity,
        kubernetes::{self, LocalPod},
        owners::{LOOK_AGAIN, Named, Owner},
    },
    node::{Container, container_of, looks_like_a_pod},
    points::{Point, Process},
};
use std::{sync::Arc, time::Instant};

impl Observer {
    pub(super) fn recognise(&mut self, path: &str, is_gone: bool, before: Option<&Named>) -> Owner {
        if let Some(identity) = self.entry_above(path) {
            return Owner::Known(identity.clone());
        }
        let now = Instant::now();
        if let Some(shared) = self.kubernetes.clone() {
            if let Some(container) = container_of(path) {
                // Read before the cluster's objects are locked.
                let processes = if is_gone {
                    Vec::new()
                } else {
                    self.cgroups.processes(path)
                };
                return owner_of(&shared.directory(), container, &processes, is_gone, before);
            }
            if looks_like_a_pod(path) && self.unrecognized.is_none() {
                tracing::warn!(
                    cgroup = path,
                    "the cgroups of this node's pods are laid out in a way that Narrows does not know: their connections \
                     are attributed by address only"
                );
                self.unrecognized = Some(path.to_owned());
            }
        }
        match self.rules.host(path, &self.cgroups.processes(path)) {
            Some(point) => Owner::Known(Identity::Point(Arc::new(point))),
            None if self.kubernetes.is_some() && !looks_like_a_pod(path) => Owner::Node(now),
            None => Owner::Nobody(now),
        }
    }

    /// The entry of the inventory that a cgroup is below; the innermost one takes precedence.
    fn entry_above(&self, path: &str) -> Option<&Identity> {
        let is_below = |parent: &String| {
            path.strip_prefix(parent.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let entries = self.node.entries.all().iter();
        entries
            .filter_map(|entry| Some((entry.cgroup.as_ref()?, &entry.identity)))
            .filter(|(parent, _)| is_below(parent))
            .max_by_key(|(parent, _)| parent.len())
            .map(|(_, identity)| identity)
    }
}

/// The owner of a container's cgroup, by its pod's object and its processes.
fn owner_of(
    directory: &kubernetes::Directory,
    container: Container,
    processes: &[Process],
    is_gone: bool,
    before: Option<&Named>,
) -> Owner {
    let Some(pod) = directory.local(container.pod).cloned() else {
        // Deleted from the API server while its container still exists: its identity does not change.
        return before.map_or(Owner::Expected(None), |before| Owner::Container(before.clone()));
    };
    // What its processes once revealed stays true after they have exited.
    if is_gone
        && let Some(before) = before
        && matches!(before.identity, Identity::Point(_))
    {
        return Owner::Container(Named { pod, ..before.clone() });
    }
    let Some(point) = point_of(directory, &pod, container, processes) else {
        return Owner::Expected(Some(pod));
    };
    let identity = match point {
        Some(point) => Identity::Point(Arc::new(point)),
        None => Identity::Workload(pod.workload.clone()),
    };
    let now = Instant::now();
    let since = before.map_or(now, |before| before.since);
    Owner::Container(Named {
        pod,
        identity,
        since,
        settled: now.duration_since(since) > LOOK_AGAIN,
    })
}

/// The point that a container is, or that it is none; `None` while that cannot be determined.
fn point_of(
    directory: &kubernetes::Directory,
    pod: &LocalPod,
    container: Container,
    processes: &[Process],
) -> Option<Option<Point>> {
    if let Some(name) = container.id.and_then(|id| pod.containers.get(&id)) {
        return Some(directory.recognise(pod, name, processes));
    }
    // The container's name is not known yet; but perhaps it makes no difference.
    let names = pod.facts.containers.keys();
    let mut all = names.map(|name| directory.recognise(pod, name, processes));
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}
