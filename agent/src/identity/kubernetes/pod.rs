//! What a pod's object tells about times, addresses and containers.

use super::{
    objects::{Meta, Pod, Reference},
    workload::workload_of,
};
use crate::{
    clock::Millis,
    identity::history::End,
    node::{ContainerId, PodUid},
    points::PodFacts,
};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

/// Addresses that are read per pod: one for each family, and some for additional networks.
const MOST_ADDRESSES: usize = 8;

/// The key of an object: its uid, or, when that is not a UUID, a hash of it; without a uid, a hash of its name.
pub fn key_of(meta: &Meta) -> u128 {
    key(&meta.uid, &meta.namespace, &meta.name)
}

/// [`key_of`] for an object that cannot be parsed in full.
pub fn key_of_reference(object: &Reference) -> u128 {
    key(&object.metadata.uid, &object.metadata.namespace, &object.metadata.name)
}

fn key(uid: &str, namespace: &str, name: &str) -> u128 {
    if let Some(PodUid(uid)) = PodUid::parse(uid) {
        return uid;
    }
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        if uid.is_empty() {
            (salt, namespace, name).hash(&mut hasher);
        } else {
            (salt, uid).hash(&mut hasher);
        }
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// The uid in the cgroup of a static pod: it is the kubelet's, while the uid of the object is the API server's.
pub fn static_uid(meta: &Meta) -> Option<PodUid> {
    meta.annotation("kubernetes.io/config.mirror")
        .or_else(|| meta.annotation("kubernetes.io/config.hash"))
        .and_then(PodUid::parse)
}

/// Parses a time of an object.
pub fn time(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Whether the pod has ended; its object may still list its former address.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// When the pod got its addresses, as far as its object tells, and never after `now`: since Kubernetes 1.29 a condition has the
/// time at which its network was ready; before, only the time at which the kubelet accepted it is known.
pub fn begin_of(pod: &Pod, now: Millis) -> Millis {
    let ready = pod
        .status
        .conditions
        .iter()
        .find(|condition| condition.kind == "PodReadyToStartContainers" && condition.status == "True")
        .and_then(|condition| condition.last_transition_time.as_deref());
    let begin = ready
        .or(pod.status.start_time.as_deref())
        .or(pod.metadata.creation_timestamp.as_deref());
    begin.and_then(time).unwrap_or(now).min(now)
}

/// When an ended pod released its addresses: when its last container ended, if that is known of all.
pub fn end_of(pod: &Pod, now: Millis) -> End {
    let mut last = None;
    let containers = &pod.status.container_statuses;
    for container in containers {
        let terminated = container.state.terminated.as_ref();
        let Some(finished) = terminated.and_then(|end| end.finished_at.as_deref()).and_then(time) else {
            return End::By(now);
        };
        last = last.max(Some(finished));
    }
    match last {
        Some(last) if last <= now => End::At(last),
        _ => End::By(now),
    }
}

/// Its addresses, unless it uses the host network: then they are the node's.
pub fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    if pod.spec.host_network {
        return Vec::new();
    }
    let all = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = all
        .chain([pod.status.pod_ip.as_str()])
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .filter(|address| !address.is_unspecified() && !address.is_loopback())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    addresses
}

/// Names of its containers by id, including the former ids of restarted containers.
pub fn containers_of(pod: &Pod) -> HashMap<ContainerId, String> {
    let mut containers = HashMap::new();
    for status in pod.status.all_containers() {
        let before = status.last_state.terminated.as_ref();
        let ended = status.state.terminated.as_ref();
        let ids = [before, ended]
            .into_iter()
            .flatten()
            .map(|terminated| terminated.container_id.as_str())
            .chain([status.container_id.as_str()]);
        for id in ids.filter_map(ContainerId::from_status) {
            containers.insert(id, status.name.clone());
        }
    }
    containers
}

/// The facts that rules match on, and the kind of its workload.
pub fn facts_of(pod: &Pod) -> (PodFacts, std::borrow::Cow<'static, str>) {
    let (kind, workload) = workload_of(pod);
    let containers = pod.spec.all_containers().map(|container| {
        let words = container.command.iter().chain(&container.args).cloned().collect();
        (container.name.clone(), words)
    });
    let facts = PodFacts {
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        workload,
        labels: pod.metadata.labels.clone(),
        annotations: pod.metadata.annotations.clone(),
        containers: containers.collect(),
    };
    (facts, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_testbed::kubernetes::manifests::{self, Pod as Manifest};
    use proptest::prelude::*;

    fn read(manifest: Manifest) -> Pod {
        serde_json::from_value(manifest.into_value()).expect("a pod")
    }

    #[test]
    fn every_manifest_is_read() {
        for name in manifests::ALL {
            let pod: Pod =
                serde_json::from_value(manifests::pod(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                !pod.metadata.name.is_empty() && !pod.spec.containers.is_empty(),
                "{name}"
            );
            assert_eq!(addresses_of(&pod).is_empty(), pod.spec.host_network, "{name}");
            assert!(!containers_of(&pod).is_empty(), "{name}");
            assert!(begin_of(&pod, i64::MAX) < i64::MAX, "{name}");
        }
    }

    #[test]
    fn a_pod_ends_when_its_last_container_does() {
        let now = time("2026-11-22T10:00:30Z").expect("a time");
        let running = read(Manifest(manifests::pod("deployment")));
        assert_eq!(end_of(&running, now), End::By(now));
        let ended = read(Manifest(manifests::pod("deployment")).finished("2026-11-22T10:00:10Z"));
        assert!(is_finished(&ended));
        assert_eq!(end_of(&ended, now), End::At(now - 20_000));
        // A clock that is ahead of this node's.
        assert_eq!(end_of(&ended, now - 60_000), End::By(now - 60_000));
        assert_eq!(begin_of(&ended, 5), 5);
    }

    #[test]
    fn a_static_pod_has_two_uids() {
        let pod = read(Manifest(manifests::pod("static")));
        let uid = static_uid(&pod.metadata).expect("the kubelet's");
        assert_ne!(uid.0, key_of(&pod.metadata));
    }

    #[test]
    fn an_object_without_a_uid_is_known_by_its_name() {
        let named = |namespace: &str, name: &str, uid: &str| {
            key_of(&Meta {
                namespace: namespace.into(),
                name: name.into(),
                uid: uid.into(),
                ..Meta::default()
            })
        };
        assert_ne!(named("a", "b", ""), named("a", "c", ""));
        assert_eq!(named("a", "b", ""), named("a", "b", ""));
        assert_eq!(named("a", "b", "odd uid"), named("x", "y", "odd uid"));
    }

    proptest! {
        #[test]
        fn no_time_and_no_address_makes_it_fail(time_text in "\\PC{0,40}", ip in "\\PC{0,40}", id in "\\PC{0,80}") {
            let pod: Pod = serde_json::from_value(serde_json::json!({
                "status": {
                    "phase": "Failed", "podIP": ip, "startTime": time_text,
                    "containerStatuses": [{ "name": "x", "containerID": id,
                        "state": { "terminated": { "finishedAt": time_text, "containerID": id } } }],
                },
            })).expect("a pod");
            let _ = (begin_of(&pod, 1), end_of(&pod, 1), addresses_of(&pod), containers_of(&pod));
        }
    }
}
