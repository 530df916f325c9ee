//! Proxies that nothing but their executable tells, run in ways that hide `/proc/<pid>/exe` from who may not trace them.

use super::{
    cluster::{Cluster, Running},
    v4,
};
use narrows_testbed::{actor::Actor, kubernetes::manifests::Pod, load::ServerTally, tools};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// How a proxy is run.
struct Way {
    name: &'static str,
    /// What goes before its command.
    prefix: &'static [&'static str],
    /// The mode of its executable.
    mode: u32,
    /// Whether only CAP_SYS_PTRACE shows it to another root.
    hidden: bool,
}

/// `setpriv` keeps its capabilities until it executes something: `env` has none.
const AS_USER: &[&str] = &["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env"];

const WAYS: [Way; 4] = [
    Way {
        name: "another-user",
        prefix: AS_USER,
        mode: 0o755,
        hidden: true,
    },
    // Who runs a file that they may not read gets a process that cannot be dumped; one that has changed its user, or that says
    // so itself, is the same. Its files in /proc are root's.
    Way {
        name: "not-dumpable",
        prefix: AS_USER,
        mode: 0o711,
        hidden: true,
    },
    // Root, as the agent is, but with all capabilities.
    Way {
        name: "more-capabilities",
        prefix: &[],
        mode: 0o755,
        hidden: true,
    },
    // As in pods with `hostUsers: false`.
    Way {
        name: "user-namespace",
        prefix: &["unshare", "--user", "--map-root-user"],
        mode: 0o755,
        // Root made the namespace, and owns it.
        hidden: false,
    },
];

/// One of them, in a pod whose container no rule knows, answering on port 8080.
pub struct Proxy {
    /// Before its pod, so that it ends first.
    _server: Actor<ServerTally>,
    pub pod: Running,
    /// The last part of its address.
    pub n: u8,
    /// `<namespace>/<name>` of the point that it is.
    pub point: String,
    /// Whether only CAP_SYS_PTRACE shows that.
    pub hidden: bool,
}

/// One of each kind. Their addresses begin at 10.90.0.`n`; `files` is where their executables are put.
pub fn proxies(cluster: &Cluster, files: &TempDir, n: u8) -> Vec<Proxy> {
    let pods = (n..).zip(&WAYS);
    pods.map(|(n, way)| Proxy::new(cluster, files, n, way)).collect()
}

impl Proxy {
    fn new(cluster: &Cluster, files: &TempDir, n: u8, way: &Way) -> Self {
        let manifest = Pod::of("deployment")
            .label("pod-template-hash", "6d7f8b9c5")
            .owner("ReplicaSet", &format!("{}-6d7f8b9c5", way.name));
        let pod = cluster.prepare(manifest, &format!("{}-6d7f8b9c5-aaaaa", way.name), n);
        cluster.announce(&pod);
        let executable = executable(files.path(), way);
        let mut words = way.prefix.iter().copied().map(PathBuf::from).chain([executable]);
        let mut command = Command::new(words.next().expect("an executable"));
        command.args(words).arg("server").arg(v4(n, 8080).to_string());
        let cgroup = pod.sim.cgroup(&pod.first());
        let server = Actor::run(command, pod.sim.netns(), Some(cgroup)).expect("it listens");
        if way.mode == 0o711 {
            let owner = fs::metadata(format!("/proc/{}/stat", server.pid())).map(|metadata| metadata.uid());
            assert_eq!(owner.expect("it runs"), 0, "{} can be dumped", way.name);
        }
        let point = format!("{}/{}", pod.namespace(), way.name);
        Self {
            _server: server,
            pod,
            n,
            point,
            hidden: way.hidden,
        }
    }
}

/// The testbed's server, under the name of Linkerd's proxy.
fn executable(directory: &Path, way: &Way) -> PathBuf {
    let directory = directory.join(way.name);
    let path = directory.join("linkerd2-proxy");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    fs::create_dir(&directory).expect("made");
    fs::copy(tools::actor().expect("it is built"), &path).expect("copied");
    // Others than root are to find it.
    mode(directory.parent().expect("a parent"), 0o755);
    mode(&directory, 0o755);
    mode(&path, way.mode);
    path
}
