//! From a pod to the workload that it belongs to.

use super::objects::Pod;
use std::borrow::Cow;

/// Kind and name of the workload. The agent's role may read pods, but not their owners, so an owner's owner is derived from names,
/// following the conventions of the controllers.
pub fn workload_of(pod: &Pod) -> (Cow<'static, str>, String) {
    let meta = &pod.metadata;
    let Some(owner) = meta.controller() else {
        // A static pod has its node as its owner, but in some versions not as its controller.
        return (Cow::Borrowed("Pod"), without_node(pod));
    };
    let named = |kind: &'static str, name: &str| (Cow::Borrowed(kind), name.to_owned());
    let without = |label: &str| {
        let hash = meta.label(label)?;
        owner
            .name
            .strip_suffix(hash)?
            .strip_suffix('-')
            .filter(|name| !name.is_empty())
    };
    match owner.kind.as_str() {
        // Argo Rollouts adds a label of its own to the one that Deployments set.
        "ReplicaSet" => match (without("rollouts-pod-template-hash"), without("pod-template-hash")) {
            (Some(name), _) => named("Rollout", name),
            (None, Some(name)) => named("Deployment", name),
            (None, None) => named("ReplicaSet", &owner.name),
        },
        "Job" => match scheduled(&owner.name) {
            Some(name) => named("CronJob", name),
            None => named("Job", &owner.name),
        },
        "ReplicationController" => match meta.annotation("openshift.io/deployment-config.name") {
            Some(name) => named("DeploymentConfig", name),
            None => named("ReplicationController", &owner.name),
        },
        "StatefulSet" => named("StatefulSet", &owner.name),
        "DaemonSet" => named("DaemonSet", &owner.name),
        "Node" => (Cow::Borrowed("Pod"), without_node(pod)),
        other => (Cow::Owned(other.to_owned()), owner.name.clone()),
    }
}

/// A static pod is named after its manifest file and its node.
fn without_node(pod: &Pod) -> String {
    let name = &pod.metadata.name;
    let mirror = pod.metadata.annotation("kubernetes.io/config.mirror").is_some();
    let short = name
        .strip_suffix(pod.spec.node_name.as_str())
        .and_then(|name| name.strip_suffix('-'));
    match short {
        Some(short) if mirror && !pod.spec.node_name.is_empty() && !short.is_empty() => short.to_owned(),
        _ => name.clone(),
    }
}

/// The CronJob of a Job: its name, a dash, and the scheduled time in minutes since 1970 (8 digits in this century; before
/// Kubernetes 1.21 in seconds, 10 digits).
fn scheduled(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = matches!(time.len(), 8..=10) && time.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_testbed::kubernetes::manifests;
    use proptest::prelude::*;

    fn of(manifest: serde_json::Value) -> (String, String) {
        let pod: Pod = serde_json::from_value(manifest).expect("a pod");
        let (kind, name) = workload_of(&pod);
        (kind.into_owned(), name)
    }

    fn owned(kind: &str, name: &str, labels: &[(&str, &str)]) -> (String, String) {
        let labels: serde_json::Map<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
        of(serde_json::json!({ "metadata": {
            "name": "x-1", "labels": labels,
            "ownerReferences": [{ "kind": "Other", "name": "no" }, { "kind": kind, "name": name, "controller": true }],
        } }))
    }

    #[test]
    fn each_kind_of_owner() {
        for (kind, name, labels, expected) in [
            (
                "ReplicaSet",
                "web-6d4f",
                &[("pod-template-hash", "6d4f")][..],
                ("Deployment", "web"),
            ),
            ("ReplicaSet", "web-6d4f", &[], ("ReplicaSet", "web-6d4f")),
            (
                "ReplicaSet",
                "web-6d4f",
                &[("pod-template-hash", "other")],
                ("ReplicaSet", "web-6d4f"),
            ),
            (
                "ReplicaSet",
                "-6d4f",
                &[("pod-template-hash", "6d4f")],
                ("ReplicaSet", "-6d4f"),
            ),
            (
                "ReplicaSet",
                "roll-58cf",
                &[("rollouts-pod-template-hash", "58cf")],
                ("Rollout", "roll"),
            ),
            ("Job", "backup-29384560", &[], ("CronJob", "backup")),
            ("Job", "backup-1700000000", &[], ("CronJob", "backup")),
            ("Job", "migrate-7", &[], ("Job", "migrate-7")),
            ("Job", "29384560", &[], ("Job", "29384560")),
            ("StatefulSet", "db", &[], ("StatefulSet", "db")),
            ("DaemonSet", "logs", &[], ("DaemonSet", "logs")),
            (
                "ReplicationController",
                "old-1",
                &[],
                ("ReplicationController", "old-1"),
            ),
            ("Cluster", "pg", &[], ("Cluster", "pg")),
        ] {
            let (found_kind, found) = owned(kind, name, labels);
            assert_eq!(
                (found_kind.as_str(), found.as_str()),
                expected,
                "{kind} {name} {labels:?}"
            );
        }
    }

    #[test]
    fn owners_as_the_controllers_write_them() {
        for (manifest, kind) in [
            ("deployment", "Deployment"),
            ("argo-rollout", "Rollout"),
            ("job", "Job"),
            ("cronjob-job", "CronJob"),
            ("statefulset", "StatefulSet"),
            ("daemonset", "DaemonSet"),
            ("bare", "Pod"),
            ("static", "Pod"),
            ("replicationcontroller", "ReplicationController"),
        ] {
            let pod = manifests::pod(manifest);
            let (found, name) = of(pod.clone());
            assert_eq!(found, kind, "{manifest}");
            let full = pod["metadata"]["name"].as_str().expect("a name").to_owned();
            assert!(full.starts_with(&name), "{manifest}: {name} of {full}");
            assert_eq!(full == name, manifest == "bare", "{manifest}: {name} of {full}");
        }
    }

    proptest! {
        #[test]
        fn any_names_are_bearable(kind in "[A-Z]{3}\\PC{0,20}", name in "\\PC{0,300}", label in "\\PC{0,20}") {
            let (found_kind, found) = owned(&kind, &name, &[("pod-template-hash", &label)]);
            prop_assert_eq!(found, name);
            prop_assert_eq!(found_kind, kind);
        }

        #[test]
        fn a_deployment_has_its_name(name in "[a-z]([a-z0-9-]{0,50}[a-z0-9])?", hash in "[a-z0-9]{5,10}") {
            let (kind, found) = owned("ReplicaSet", &format!("{name}-{hash}"), &[("pod-template-hash", &hash)]);
            prop_assert_eq!((kind.as_str(), found), ("Deployment", name));
        }
    }
}
