use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::cgroup;
use crate::isolate;

const UID: &str = "2f1b6c1e-8d3a-4f0e-9b7c-5a6d4e3f2a10";
const ID: &str = "9c1f4b7ad2e85360c9f8b1e7d4a2635fb0c8d9e1f2a3b4c5d6e7f8091a2b3c4d";
const ID2: &str = "1d2c3b4a5f6e7d8c9b0a1f2e3d4c5b6a79880716253443526170a0b1c2d3e4f5";
const NODE: &str = "5f0c1d7b9e3a48d2a6c4f8e01b7d3c5992ae64f0d81b4c7fa03e5d6b28c9f174";

/// The cgroup of a process, as reported by the kernel.
fn cgroup_of(process: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(line.context("no cgroup2 line")?.to_owned())
}

#[test]
fn pods_are_where_the_kubelet_puts_them() {
    let systemd = "/kubepods.slice/kubepods-pod2f1b6c1e_8d3a_4f0e_9b7c_5a6d4e3f2a10.slice";
    assert_eq!(Layout::ContainerdSystemd.pod_path(Qos::Guaranteed, UID), systemd);
    assert_eq!(
        Layout::CrioSystemd.pod_path(Qos::BestEffort, UID),
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod2f1b6c1e_8d3a_4f0e_9b7c_5a6d4e3f2a10.slice"
    );
    assert_eq!(
        Layout::DockerCgroupfs.pod_path(Qos::Guaranteed, UID),
        format!("/kubepods/pod{UID}")
    );
    assert_eq!(
        Layout::CrioCgroupfs.pod_path(Qos::BestEffort, UID),
        format!("/kubepods/besteffort/pod{UID}")
    );
    // A static pod: the hash of its file has no dashes.
    let hash = "3be56fd26e2f453710c46c30fd4e79ff";
    assert_eq!(
        Layout::ContainerdSystemd.pod_path(Qos::Burstable, hash),
        format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{hash}.slice")
    );
    assert_eq!(
        Layout::ContainerdCgroupfs.pod_path(Qos::Burstable, hash),
        format!("/kubepods/burstable/pod{hash}")
    );
}

#[test]
fn containers_are_where_the_runtime_puts_them() {
    let pod = "pod2f1b6c1e_8d3a_4f0e_9b7c_5a6d4e3f2a10.slice";
    let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{pod}");
    let kind = format!(
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-{pod}"
    );
    let expected = [
        (Layout::ContainerdSystemd, format!("{slice}/cri-containerd-{ID}.scope")),
        (Layout::ContainerdCgroupfs, format!("/kubepods/burstable/pod{UID}/{ID}")),
        (Layout::CrioSystemd, format!("{slice}/crio-{ID}.scope/container")),
        (Layout::CrioCgroupfs, format!("/kubepods/burstable/pod{UID}/crio-{ID}")),
        (Layout::DockerSystemd, format!("{slice}/docker-{ID}.scope")),
        (Layout::DockerCgroupfs, format!("/kubepods/burstable/pod{UID}/{ID}")),
        (
            Layout::ContainerdMixed,
            format!("/system.slice/containerd.service/kubepods-burstable-{pod}:cri-containerd:{ID}"),
        ),
        (
            Layout::KindSystemd,
            format!("/system.slice/docker-{NODE}.scope{kind}/cri-containerd-{ID}.scope"),
        ),
        (
            Layout::NestedCgroupfs,
            format!("/docker/{NODE}/kubepods/burstable/pod{UID}/{ID}"),
        ),
    ];
    assert_eq!(expected.each_ref().map(|(layout, _)| *layout), Layout::ALL);
    for (layout, path) in expected {
        assert_eq!(layout.container_path(Qos::Burstable, UID, ID), path);
    }
    assert_eq!(
        Layout::CrioSystemd.conmon_path(Qos::Burstable, UID, ID),
        Some(format!("{slice}/crio-conmon-{ID}.scope"))
    );
    assert_eq!(
        Layout::CrioCgroupfs.conmon_path(Qos::Guaranteed, UID, ID),
        Some(format!("/kubepods/pod{UID}/crio-conmon-{ID}"))
    );
    assert_eq!(Layout::KindSystemd.conmon_path(Qos::Burstable, UID, ID), None);
}

#[test]
fn every_layout_holds_a_pod() -> Result<()> {
    isolate()?;
    let fabric = Fabric::new("node-fabric")?;
    fabric.gateway(&["10.90.0.1/24"])?;
    for (layout, qos) in Layout::ALL.into_iter().zip(Qos::ALL.into_iter().cycle()) {
        let root = cgroup::unique("narrows-node");
        let containers = [("app", ID), ("istio-proxy", ID2)];
        let network = Network::Own(&fabric, &["10.90.0.11/24"]);
        let mut pod = SimPod::new(&root, layout, qos, UID, &containers, network)?;
        let inode = u64::from(pod.netns().context("its own network")?.inode());
        for (name, id) in containers {
            let path = format!("/{root}{}", layout.container_path(qos, UID, id));
            assert_eq!(pod.cgroup(name).path(), path);
            let (inside, here) = pod.run(name, || (cgroup_of("self"), fs::metadata("/proc/thread-self/ns/net")));
            assert_eq!((inside?, here?.ino()), (path.clone(), inode));
            let child = pod.spawn(name, Command::new("sleep").arg("infinity"))?;
            assert_eq!(cgroup_of(&child.pid().to_string())?, path);
        }
        if let Some(path) = layout.conmon_path(qos, UID, ID) {
            assert!(cgroup::root().join(format!("{root}{path}")).is_dir());
        }
        assert!(
            cgroup::root()
                .join(format!("{root}{}", layout.pod_path(qos, UID)))
                .is_dir()
        );

        let pause = pod.start_pause()?;
        assert_eq!(pod.cgroup("app").pids(), [pause.as_raw().cast_unsigned()]);
        assert_eq!(fs::metadata(format!("/proc/{pause}/ns/net"))?.ino(), inode);

        pod.remove()?;
        assert!(!cgroup::root().join(&root).exists(), "{layout:?} left something");
        assert!(!PathBuf::from(format!("/proc/{pause}")).exists());
    }
    Ok(())
}

#[test]
fn pods_share_a_node_and_reach_each_other() -> Result<()> {
    isolate()?;
    let fabric = Fabric::new("shared-fabric")?;
    let root = cgroup::unique("narrows-node");
    let pod = |uid: &str, id: &str, address: &str| {
        let network = Network::Own(&fabric, &[address]);
        SimPod::new(
            &root,
            Layout::ContainerdSystemd,
            Qos::Burstable,
            uid,
            &[("app", id)],
            network,
        )
    };
    let server = pod(UID, ID, "10.90.0.11/24")?;
    let client = pod("5e0b8a7c-1f2d-4c3b-8a9e-0d1c2b3a4f5e", ID2, "10.90.0.12/24")?;
    let listener = server.run("app", || TcpListener::bind("10.90.0.11:8080"))?;
    let stream = client.run("app", || TcpStream::connect("10.90.0.11:8080"))?;
    let (_accepted, peer) = listener.accept()?;
    assert_eq!(peer, stream.local_addr()?);
    assert_eq!(peer.ip(), SocketAddr::from(([10, 90, 0, 12], 0)).ip());
    drop(server);
    assert!(client.cgroup("app").directory().is_dir(), "the other pod stays");
    drop(client);
    assert!(!cgroup::root().join(&root).exists());
    Ok(())
}

#[test]
fn a_pod_may_be_on_the_network_of_its_node() -> Result<()> {
    isolate()?;
    let root = cgroup::unique("narrows-node");
    let (layout, containers) = (Layout::KindSystemd, [("cilium-envoy", ID)]);
    let mut pod = SimPod::new(&root, layout, Qos::BestEffort, UID, &containers, Network::Host)?;
    assert!(pod.netns().is_none());
    let here = fs::metadata("/proc/self/ns/net")?.ino();
    let pause = pod.start_pause()?;
    assert_eq!(fs::metadata(format!("/proc/{pause}/ns/net"))?.ino(), here);
    let inside = pod.run("cilium-envoy", || cgroup_of("self"))?;
    assert_eq!(inside, pod.cgroup("cilium-envoy").path());
    pod.remove()
}

#[test]
fn a_pod_is_laid_out_once() -> Result<()> {
    isolate()?;
    let root = cgroup::unique("narrows-node");
    let pod = || {
        SimPod::new(
            &root,
            Layout::CrioSystemd,
            Qos::Guaranteed,
            UID,
            &[("app", ID)],
            Network::Host,
        )
    };
    let first = pod()?;
    let second = pod().err().map(|error| format!("{error:#}"));
    assert!(second.is_some_and(|text| text.contains("container app") && text.contains("CrioSystemd")));
    first.remove()
}
