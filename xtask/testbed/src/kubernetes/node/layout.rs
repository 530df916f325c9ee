//! The cgroup2 paths in which kubelets and container runtimes place the processes of a container.
//!
//! The kubelet names the pod (`pkg/kubelet/cm`: `cgroup_manager_linux.go`, `pod_container_manager_linux.go`), the
//! runtime the container below it (containerd `getCgroupsPath`, CRI-O `internal/config/cgmgr`, the Docker daemon).

/// The Docker container that plays the node where nodes are nested.
const NODE: &str = "5f0c1d7b9e3a48d2a6c4f8e01b7d3c5992ae64f0d81b4c7fa03e5d6b28c9f174";

/// A kubelet and a container runtime with their cgroup drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// containerd with `SystemdCgroup`; what most clusters have.
    ContainerdSystemd,
    /// containerd where the kubelet has the cgroupfs driver.
    ContainerdCgroupfs,
    /// CRI-O with crun, which puts the processes into a cgroup `container` below the scope.
    CrioSystemd,
    /// CRI-O where the kubelet has the cgroupfs driver.
    CrioCgroupfs,
    /// Docker through cri-dockerd, with the systemd driver.
    DockerSystemd,
    /// Docker through cri-dockerd where the kubelet has the cgroupfs driver.
    DockerCgroupfs,
    /// A kubelet with the systemd driver and a containerd with cgroupfs: runc interprets the name that is meant for systemd as a
    /// path below the cgroup of containerd.
    ContainerdMixed,
    /// A node of kind (`cgroupRoot: /kubelet`) in a container of a Docker with the systemd driver.
    KindSystemd,
    /// A node of minikube, Docker in a container of a Docker, both with cgroupfs.
    NestedCgroupfs,
}

/// The class of a pod (`status.qosClass`), by which the kubelet groups pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Limits equal requests; directly below the root of all pods.
    Guaranteed,
    /// With some request or limit.
    Burstable,
    /// No request, no limit.
    BestEffort,
}

impl Qos {
    /// All classes, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Guaranteed, Self::Burstable, Self::BestEffort];

    /// The name of the group, if the class has one.
    fn group(self) -> Option<&'static str> {
        match self {
            Self::Guaranteed => None,
            Self::Burstable => Some("burstable"),
            Self::BestEffort => Some("besteffort"),
        }
    }
}

impl Layout {
    /// All layouts, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::ContainerdSystemd,
        Self::ContainerdCgroupfs,
        Self::CrioSystemd,
        Self::CrioCgroupfs,
        Self::DockerSystemd,
        Self::DockerCgroupfs,
        Self::ContainerdMixed,
        Self::KindSystemd,
        Self::NestedCgroupfs,
    ];

    /// The cgroup of a pod. Of a static pod, `uid` is the hash of its file (32 hexadecimal digits), not the uid of the
    /// object that mirrors it.
    pub fn pod_path(self, qos: Qos, uid: &str) -> String {
        match self {
            Self::ContainerdSystemd | Self::CrioSystemd | Self::DockerSystemd | Self::ContainerdMixed => {
                slices(&["kubepods"], qos, uid)
            }
            Self::KindSystemd => {
                let inside = slices(&["kubelet", "kubepods"], qos, uid);
                format!("/system.slice/docker-{NODE}.scope{inside}")
            }
            Self::ContainerdCgroupfs | Self::CrioCgroupfs | Self::DockerCgroupfs => directories(qos, uid),
            Self::NestedCgroupfs => format!("/docker/{NODE}{}", directories(qos, uid)),
        }
    }

    /// The cgroup with the processes of a container; `id` is without the prefix.
    pub fn container_path(self, qos: Qos, uid: &str, id: &str) -> String {
        let pod = self.pod_path(qos, uid);
        match self {
            Self::ContainerdSystemd | Self::KindSystemd => format!("{pod}/cri-containerd-{id}.scope"),
            Self::CrioSystemd => format!("{pod}/crio-{id}.scope/container"),
            Self::CrioCgroupfs => format!("{pod}/crio-{id}"),
            Self::DockerSystemd => format!("{pod}/docker-{id}.scope"),
            Self::ContainerdCgroupfs | Self::DockerCgroupfs | Self::NestedCgroupfs => format!("{pod}/{id}"),
            Self::ContainerdMixed => {
                let slice = pod.rsplit('/').next().unwrap_or_default();
                format!("/system.slice/containerd.service/{slice}:cri-containerd:{id}")
            }
        }
    }

    /// The cgroup in which CRI-O keeps `conmon`, which monitors a container. Its name has the container's id, but it is not
    /// the container's (with the systemd driver, where `conmon_cgroup = "pod"`, as on OpenShift).
    pub fn conmon_path(self, qos: Qos, uid: &str, id: &str) -> Option<String> {
        let pod = self.pod_path(qos, uid);
        match self {
            Self::CrioSystemd => Some(format!("{pod}/crio-conmon-{id}.scope")),
            Self::CrioCgroupfs => Some(format!("{pod}/crio-conmon-{id}")),
            _ => None,
        }
    }

    /// The prefix of container ids in a pod's status.
    pub fn container_id_prefix(self) -> &'static str {
        match self {
            Self::ContainerdSystemd | Self::ContainerdCgroupfs | Self::ContainerdMixed | Self::KindSystemd => {
                "containerd://"
            }
            Self::CrioSystemd | Self::CrioCgroupfs => "cri-o://",
            Self::DockerSystemd | Self::DockerCgroupfs | Self::NestedCgroupfs => "docker://",
        }
    }
}

/// The systemd driver: each slice repeats the names of those above, and `-` within a name becomes `_`.
fn slices(root: &[&str], qos: Qos, uid: &str) -> String {
    let pod = format!("pod{}", uid.replace('-', "_"));
    let (mut path, mut name) = (String::new(), String::new());
    for part in root.iter().copied().chain(qos.group()).chain([pod.as_str()]) {
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path = format!("{path}/{name}.slice");
    }
    path
}

/// The cgroupfs driver: nested directories.
fn directories(qos: Qos, uid: &str) -> String {
    let group = qos.group().map(|group| format!("/{group}")).unwrap_or_default();
    format!("/kubepods{group}/pod{uid}")
}
