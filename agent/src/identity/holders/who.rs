//! Who one cgroup is: by the inventory, by the pod in its path, by its processes.

use super::Holders;
use crate::{
    identity::{
        Identity,
        kubernetes::{LocalPod, Shared, lock},
    },
    node::{ContainerId, PodUid, container_of, looks_like_a_pod},
    points::{Kind, Point},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A cgroup is looked at again after so long: its process may have started another program.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Who a cgroup is.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Nobody has asked yet.
    NotAsked,
    /// An entry of the inventory, or a proxy that its processes show.
    Known(Identity),
    /// A container of a pod.
    Container(Named),
    /// A container of a pod whose object has not come yet, or does not name the container yet.
    Expected(Option<Arc<LocalPod>>),
    /// The node's own, in a cluster.
    Node(Instant),
    /// Nobody that is known.
    Nobody(Instant),
}

impl Who {
    /// The point that it is.
    pub(super) fn point(&self) -> Option<&Arc<Point>> {
        match self {
            Self::Known(Identity::Point(point))
            | Self::Container(Named {
                identity: Identity::Point(point),
                ..
            }) => Some(point),
            _ => None,
        }
    }
}

/// A container that has its name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) pod: Arc<LocalPod>,
    pub(super) identity: Identity,
    /// When its processes were first looked at.
    pub(super) since: Instant,
    /// They were looked at a second time: at first they may still be the runtime's.
    pub(super) settled: bool,
}

impl Named {
    /// Whether its sockets and processes are in the network namespace of its own pod, and nowhere else.
    pub(super) fn stays_at_home(&self) -> bool {
        let enters_others = matches!(&self.identity, Identity::Point(point) if point.kind == Kind::Ztunnel);
        !self.pod.host_network && !enters_others
    }
}

/// Whether the sockets of a container act in the name of its own pod: those of applications, and of sidecars.
pub(super) fn acts_for_itself(identity: &Identity) -> bool {
    match identity {
        Identity::Workload(_) => true,
        Identity::Point(point) => point.kind == Kind::Sidecar,
    }
}

impl Holders {
    pub(super) fn who(&mut self, path: &str, gone: bool, before: Option<&Named>) -> Who {
        // The innermost entry decides.
        let entry = self
            .entries
            .iter()
            .filter(|(parent, ..)| {
                path.strip_prefix(parent.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|(parent, ..)| parent.len());
        if let Some((_, _, identity)) = entry {
            return Who::Known(identity.clone());
        }
        let now = Instant::now();
        if let Some(shared) = self.kubernetes.clone() {
            if let Some(container) = container_of(path) {
                return self.container(&shared, path, container.pod, container.id, gone, before);
            }
            if looks_like_a_pod(path) && self.strange.is_none() {
                tracing::warn!(
                    cgroup = path,
                    "the cgroups of this node's pods are laid out in a way that Narrows does not know: their connections \
                     are attributed by address only"
                );
                self.strange = Some(path.to_owned());
            }
        }
        match self.rules.host(path, &self.cgroups.processes(path)) {
            Some(point) => Who::Known(Identity::Point(Arc::new(point))),
            None if self.kubernetes.is_some() && !looks_like_a_pod(path) => Who::Node(now),
            None => Who::Nobody(now),
        }
    }

    fn container(
        &self,
        shared: &Shared,
        path: &str,
        pod: PodUid,
        id: Option<ContainerId>,
        gone: bool,
        before: Option<&Named>,
    ) -> Who {
        // Read before the lock is taken.
        let processes = if gone { Vec::new() } else { self.cgroups.processes(path) };
        let directory = lock(&shared.directory);
        let Some(pod) = directory.local(pod).cloned() else {
            // Forgotten by the API server, while its container lives on: who it was does not change.
            return before.map_or(Who::Expected(None), |before| Who::Container(before.clone()));
        };
        // What its processes once showed stays true when they have gone.
        if gone
            && let Some(before) = before
            && matches!(before.identity, Identity::Point(_))
        {
            return Who::Container(Named { pod, ..before.clone() });
        }
        let point = match id.and_then(|id| pod.containers.get(&id)) {
            Some(name) => directory.recognise(&pod, name, &processes),
            None => {
                // Not named yet; but perhaps it does not matter which one it is.
                let mut all = pod
                    .facts
                    .containers
                    .keys()
                    .map(|name| directory.recognise(&pod, name, &processes));
                let Some(first) = all.next() else {
                    return Who::Expected(Some(pod));
                };
                if !all.all(|other| other == first) {
                    drop(all);
                    return Who::Expected(Some(pod));
                }
                first
            }
        };
        let identity = match point {
            Some(point) => Identity::Point(Arc::new(point)),
            None => Identity::Workload(pod.workload.clone()),
        };
        let now = Instant::now();
        let since = before.map_or(now, |before| before.since);
        Who::Container(Named {
            pod,
            identity,
            since,
            settled: now.duration_since(since) > LOOK_AGAIN,
        })
    }
}
