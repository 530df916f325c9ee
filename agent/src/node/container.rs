//! The owner of a cgroup, by its path: the pod and the container for which kubelet and container runtime created it.
//!
//! The forms, as kubelet (`pkg/kubelet/cm`), containerd, CRI-O and cri-dockerd write them:
//!
//! ```text
//! /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid, with _>.slice/cri-containerd-<id>.scope   systemd
//! /kubepods/besteffort/pod<uid>/<id>                                                                             cgroupfs
//! /system.slice/containerd.service/kubepods-pod<uid, with _>.slice:cri-containerd:<id>                           mixed
//! ```
//!
//! CRI-O and Docker write `crio-<id>.scope` and `docker-<id>.scope`. Kubelets that run in a container themselves (kind,
//! minikube) have this tree below that container, with a prefix in each name (`kubelet-kubepods-…`). The uid of a static pod
//! has 32 hexadecimal digits without dashes.

use std::fmt;

/// A pod's uid: 128 bits, independent of its notation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid(pub u128);

impl PodUid {
    /// Parses a uid with dashes, with underscores, or without separators.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut value, mut digits) = (0_u128, 0);
        for (place, byte) in text.bytes().enumerate() {
            match (byte as char).to_digit(16) {
                Some(digit) => {
                    value = value << 4 | u128::from(digit);
                    digits += 1;
                }
                // Separators are valid only at the positions where a UUID has them.
                None if matches!(byte, b'-' | b'_') && matches!(place, 8 | 13 | 18 | 23) => {}
                None => return None,
            }
        }
        (digits == 32 && matches!(text.len(), 32 | 36)).then_some(Self(value))
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A container's id: 256 bits, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId([u8; 32]);

impl ContainerId {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * id.len() {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |n: usize| (pair[n] as char).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(Self(id))
    }

    /// Parses the id in a container's status: `containerd://<id>`.
    pub fn from_status(text: &str) -> Option<Self> {
        Self::parse(text.rsplit_once("://").map_or(text, |(_, id)| id))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The pod and container of a cgroup path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// The pod that the cgroup belongs to.
    pub pod: PodUid,
    /// The container; `None` for the pod's own cgroup and for cgroups of helper processes.
    pub id: Option<ContainerId>,
}

/// The pod and container that a cgroup belongs to, by its path below the cgroup2 root. For pods within pods, the outer one.
pub fn container_of(path: &str) -> Option<Container> {
    let mut parts = path.split('/');
    while let Some(part) = parts.next() {
        // containerd with the cgroupfs driver under a kubelet with the systemd driver: all in one name.
        if let Some((pod, rest)) = part.split_once(".slice:")
            && let Some(pod) = pod_of(pod)
        {
            let id = rest.rsplit(':').next().and_then(ContainerId::parse);
            return Some(Container { pod, id });
        }
        if let Some(pod) = pod_of(part.strip_suffix(".slice").unwrap_or(part)) {
            let id = parts.next().and_then(scope);
            return Some(Container { pod, id });
        }
    }
    None
}

/// Whether a path looks like that of a pod, so that [`container_of`] should have recognised it.
pub fn looks_like_a_pod(path: &str) -> bool {
    path.split('/').any(|part| {
        // The inner nodes of the tree are not cgroups of containers.
        let name = part.strip_suffix(".slice").unwrap_or(part);
        let name = name.rsplit('-').next().unwrap_or(name);
        part.contains("pod") && !matches!(name, "kubepods" | "burstable" | "besteffort" | "guaranteed")
    }) && path.contains("kube")
}

/// `pod<uid>`, alone or after a dash.
fn pod_of(name: &str) -> Option<PodUid> {
    name.match_indices("pod")
        .filter(|(at, _)| *at == 0 || name.as_bytes()[at - 1] == b'-')
        .find_map(|(at, _)| PodUid::parse(&name[at + 3..]))
}

/// `<id>`, `<runtime>-<id>` or `<runtime>-<id>.scope`.
fn scope(name: &str) -> Option<ContainerId> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    match name.rsplit_once('-') {
        // The process that monitors a container is not part of it.
        Some(("crio-conmon", _)) => None,
        Some((_, id)) => ContainerId::parse(id),
        None => ContainerId::parse(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POD: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn forms(pod: &str, id: &str) -> Vec<(String, bool)> {
        let under = pod.replace('-', "_");
        vec![
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
                ),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope/container"),
                true,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{under}.slice/docker-{id}.scope"
                ),
                true,
            ),
            (format!("/kubepods/burstable/pod{pod}/{id}"), true),
            (format!("/kubepods/pod{pod}/{id}/init.scope/deeper"), true),
            (format!("/kubepods/besteffort/pod{pod}/crio-{id}"), true),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-pod{under}.slice:cri-containerd:{id}"),
                true,
            ),
            (
                format!(
                    "/system.slice/docker-{id}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
                ),
                true,
            ),
            (format!("/docker/{id}/kubelet/kubepods/burstable/pod{pod}/{id}"), true),
            (format!("/docker/{id}/kubepods/pod{pod}/{id}"), true),
            (
                format!("/kubepods.slice/kubepods-pod{under}.slice/crio-conmon-{id}.scope"),
                false,
            ),
            (format!("/kubepods.slice/kubepods-pod{under}.slice"), false),
            (format!("/kubepods/burstable/pod{pod}"), false),
        ]
    }

    #[test]
    fn every_layout_is_understood() {
        for pod in [POD, &POD.replace('-', "")] {
            for (path, inside) in forms(pod, ID) {
                let expected = Container {
                    pod: PodUid::parse(POD).expect("a uid"),
                    id: inside.then(|| ContainerId::parse(ID).expect("an id")),
                };
                assert_eq!(container_of(&path), Some(expected), "{path}");
            }
        }
    }

    #[test]
    fn what_is_no_pod_is_none() {
        for path in [
            "/",
            "",
            "/system.slice/kubelet.service",
            "/user.slice/user-1000.slice",
            "/kubepods.slice/kubepods-burstable.slice",
            &format!("/docker/{ID}"),
            &format!("/system.slice/docker-{ID}.scope"),
            "/kubepods/podabc",
            &format!("/tripod{}", POD.replace('-', "")),
        ] {
            assert_eq!(container_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_strange_layout_is_noticed() {
        for strange in ["/kubepods/pod-new-form/x", "/kubelet/kubepods/burstable/pod123/abc"] {
            assert!(
                container_of(strange).is_none() && looks_like_a_pod(strange),
                "{strange}"
            );
        }
        for usual in [
            "/system.slice/kubelet.service",
            "/kubepods.slice",
            "/kubepods.slice/kubepods-besteffort.slice",
            "/kubepods/burstable",
            "/kubelet.slice/kubelet-kubepods.slice",
            "/user.slice/podman.scope",
        ] {
            assert!(!looks_like_a_pod(usual), "{usual}");
        }
    }

    proptest! {
        #[test]
        fn any_uid_and_id_come_back(pod in any::<u128>(), id in any::<[u8; 32]>(), form in 0..11_usize) {
            let hex = format!("{pod:032x}");
            let dashed = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let (path, _) = forms(&dashed, &id).swap_remove(form);
            let found = container_of(&path).expect("a pod");
            prop_assert_eq!(found.pod, PodUid(pod));
            prop_assert_eq!(format!("{:?}", found.id.expect("a container")), id);
        }

        #[test]
        fn nothing_makes_it_fail(path in "\\PC{0,200}", pathlike in "(/(kubepods|pod|[a-f0-9_-]{0,40}|.slice|crio-|:){0,4}){0,6}") {
            let _ = (container_of(&path), looks_like_a_pod(&path));
            let _ = (container_of(&pathlike), looks_like_a_pod(&pathlike));
        }
    }
}
