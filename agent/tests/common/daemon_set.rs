//! The agent as a node runs it: `deploy/kubernetes/daemonset.yaml`, and the pod that kubelet and runtime make of it.

use super::{
    World, binary,
    cluster::{Cluster, NODE, fresh_id, fresh_uid},
};
use narrows::kernel::PINS;
use narrows_testbed::{
    agent::Agent,
    confine::{Container, Mount, Seccomp, image},
    kubernetes::{
        ApiServer,
        node::{Layout, Network, Qos, SimPod},
    },
};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How long `narrows check`, or an agent that cannot run, may take.
const END: Duration = Duration::from_secs(30);

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const CONTAINER: &str = "narrows";

/// The address of the agent's pod.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 250);

/// The manifest.
pub struct DaemonSet {
    manifest: Value,
    seccomp: Option<Seccomp>,
}

impl DaemonSet {
    /// As it is in the repository.
    pub fn read() -> Self {
        let text = fs::read_to_string(deploy("daemonset.yaml")).expect("the repository has it");
        Self {
            manifest: serde_saphyr::from_str(&text).expect("YAML"),
            // The runtime's own profile is not here.
            seccomp: None,
        }
    }

    /// With the seccomp profile of the component `seccomp-profile`, less these system calls.
    pub fn with_seccomp_profile(mut self, without: &[&str]) -> Self {
        let profile = fs::read_to_string(deploy("components/seccomp-profile/narrows.json")).expect("a profile");
        let mut profile: Value = serde_json::from_str(&profile).expect("JSON");
        for name in without {
            let rules = profile["syscalls"].as_array_mut().into_iter().flatten();
            let mut rules = rules.map(|rule| &mut rule["names"]);
            let names = rules.find(|names| strings(names).iter().any(|it| it == name));
            remove(names.expect("the profile has it"), |it| it == name);
        }
        self.seccomp = Some(Seccomp::of(&profile.to_string()).expect("a valid profile"));
        self
    }

    /// What its container may do.
    pub fn capabilities(&self) -> Vec<String> {
        strings(&self.container()["securityContext"]["capabilities"]["add"])
    }

    /// With one capability more.
    pub fn with_capability(mut self, name: &str) -> Self {
        let added = &mut self.container_mut()["securityContext"]["capabilities"]["add"];
        added.as_array_mut().expect("a list").push(name.into());
        self
    }

    /// With one capability less.
    pub fn without_capability(mut self, name: &str) -> Self {
        remove(
            &mut self.container_mut()["securityContext"]["capabilities"]["add"],
            |it| it == name,
        );
        self
    }

    /// Without the mount of this path of the node.
    pub fn without_mount(mut self, path: &str) -> Self {
        let volume = self.volume_of(path);
        remove(&mut self.container_mut()["volumeMounts"], |it| it["name"] == volume);
        self
    }

    /// On a node that has at `path` what this one has at `source`.
    pub fn with_source(mut self, path: &str, source: &Path) -> Self {
        let volume = self.volume_of(path);
        let volumes = self.manifest["spec"]["template"]["spec"]["volumes"].as_array_mut();
        let mut volumes = volumes.into_iter().flatten();
        let volume = volumes.find(|it| it["name"] == volume).expect("a volume");
        volume["hostPath"]["path"] = source.to_str().expect("UTF-8").into();
        self
    }

    fn pod(&self) -> &Value {
        &self.manifest["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    fn container_mut(&mut self) -> &mut Value {
        &mut self.manifest["spec"]["template"]["spec"]["containers"][0]
    }

    fn volumes(&self) -> &[Value] {
        self.pod()["volumes"].as_array().expect("volumes")
    }

    fn volume_of(&self, path: &str) -> Value {
        let volume = self.volumes().iter().find(|it| it["hostPath"]["path"] == path);
        volume.expect("a volume")["name"].clone()
    }
}

/// A node of a cluster, with a place for the agent's pod, in whose network the API server is.
pub struct Node {
    pod: SimPod,
    pub cluster: Cluster,
    files: TempDir,
    _left: Left,
}

/// What agents leave to each other, on a file system that is the tests' own; gone with the guard.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(PINS);
    }
}

impl Node {
    pub fn new() -> Self {
        let world = World::new();
        let address = format!("{ADDRESS}/24");
        let addresses = [&*address, "fd00:90::fa/64"];
        let network = Network::Own(&world.fabric, &addresses);
        let containers = [(CONTAINER, &*fresh_id())];
        let (layout, qos) = (Layout::ContainerdSystemd, Qos::Burstable);
        let pod = SimPod::new(&world.top, layout, qos, &fresh_uid(), &containers, network).expect("a pod");
        let inside = pod.netns().expect("a network of its own");
        let api = inside.run(ApiServer::start).expect("an API server");
        let files = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = files.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("account/ca.crt", api.ca_pem());
        write("account/token", api.token());
        write("account/namespace", "narrows");
        write(
            "config/config.yaml",
            &fs::read_to_string(deploy("config.yaml")).expect("a file"),
        );
        Self {
            pod,
            cluster: Cluster::of(world, api),
            files,
            _left: Left,
        }
    }

    /// The running agent, with a shorter tick.
    pub fn start(&self, set: &DaemonSet, arguments: &[&str]) -> Agent {
        let listen = variable(set, "NARROWS_LISTEN");
        let port = listen.parse::<SocketAddr>().expect("an address").port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = self.command(set, "agent");
        command.args(["--interval", "0.2"]).args(arguments);
        let inside = self.pod.netns().expect("a network of its own");
        let place = (&self.container(set), inside, self.pod.cgroup(CONTAINER));
        Agent::start_in_container(command, address, place).expect("the agent starts")
    }

    /// What `narrows check`, or an agent that cannot run, says and ends with.
    pub fn run(&self, set: &DaemonSet, subcommand: &str) -> Output {
        let file = |name: &str| self.files.path().join(name);
        let create = |name: &str| File::create(file(name)).expect("a file");
        let mut command = self.command(set, subcommand);
        command
            .stdin(Stdio::null())
            .stdout(create("stdout"))
            .stderr(create("stderr"));
        let inside = self.pod.netns().expect("a network of its own");
        let child = self
            .container(set)
            .spawn(&mut command, inside, self.pod.cgroup(CONTAINER));
        let status = child.expect("it starts").ended(END).expect("it ends");
        let read = |name: &str| fs::read(file(name)).expect("a file");
        Output {
            status,
            stdout: read("stdout"),
            stderr: read("stderr"),
        }
    }

    /// What the runtime gives the container.
    pub fn container(&self, set: &DaemonSet) -> Container {
        let (pod, container) = (set.pod(), set.container());
        let security = &container["securityContext"];
        assert!(
            pod["hostPID"] == true && pod["hostNetwork"] != true,
            "as the testbed does it"
        );
        assert!(
            security["privileged"] != true && security["runAsUser"] == 0,
            "as the testbed does it"
        );
        assert_eq!(strings(&security["capabilities"]["drop"]), ["ALL"]);
        let program = strings(&container["command"]);
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let mut mounts: Vec<_> = mounts.map(|mount| self.mount(set, mount)).collect();
        if pod["automountServiceAccountToken"] == true {
            mounts.push(Mount {
                source: self.files.path().join("account"),
                target: ACCOUNT.into(),
                read_only: true,
            });
        }
        Container {
            image: image(binary(), Path::new(&program[0])).expect("an image"),
            mounts,
            capabilities: set.capabilities(),
            read_only_root: security["readOnlyRootFilesystem"] == true,
            no_new_privileges: security["allowPrivilegeEscalation"] == false,
            seccomp: set.seccomp.clone(),
            host_name: "narrows-x7k2p".to_owned(),
        }
    }

    fn mount(&self, set: &DaemonSet, mount: &Value) -> Mount {
        let volume = set.volumes().iter().find(|volume| volume["name"] == mount["name"]);
        let volume = volume.expect("a mount has a volume");
        let source = match volume["hostPath"]["path"].as_str() {
            Some(path) => PathBuf::from(path),
            None if volume["configMap"]["name"] == "narrows" => self.files.path().join("config"),
            None => panic!("the testbed does not know this volume: {volume}"),
        };
        Mount {
            source,
            target: mount["mountPath"].as_str().expect("a path").into(),
            read_only: mount["readOnly"] == true,
        }
    }

    /// The container's command, its first argument replaced, with the variables of the manifest and those of the kubelet.
    fn command(&self, set: &DaemonSet, subcommand: &str) -> Command {
        let words = strings(&set.container()["command"]);
        let arguments = strings(&set.container()["args"]);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(subcommand)
            .args(&arguments[1..])
            .env_clear();
        for name in variables(set) {
            command.env(&name, variable(set, &name));
        }
        let api = self.cluster.api.address();
        command.env("KUBERNETES_SERVICE_HOST", api.ip().to_string());
        command.env("KUBERNETES_SERVICE_PORT", api.port().to_string());
        command
    }
}

fn variables(set: &DaemonSet) -> Vec<String> {
    let list = set.container()["env"].as_array().expect("variables");
    list.iter()
        .map(|it| it["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn variable(set: &DaemonSet, name: &str) -> String {
    let list = set.container()["env"].as_array().expect("variables");
    let found = list.iter().find(|it| it["name"] == name).expect("a variable");
    match (
        found["value"].as_str(),
        found["valueFrom"]["fieldRef"]["fieldPath"].as_str(),
    ) {
        (Some(value), _) => value.to_owned(),
        (None, Some("spec.nodeName")) => NODE.to_owned(),
        _ => panic!("the testbed does not know this variable: {found}"),
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|it| it.as_str().expect("text").to_owned()).collect()
}

fn remove(list: &mut Value, which: impl Fn(&Value) -> bool) {
    let list = list.as_array_mut().expect("a list");
    let before = list.len();
    list.retain(|it| !which(it));
    assert_eq!(list.len() + 1, before, "one is to be removed");
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/kubernetes")
        .join(name)
}
