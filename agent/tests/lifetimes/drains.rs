//! Instances that are to go: who hangs on them, and whether it will end in time.

use super::common::{
    World, binary, call,
    cluster::{Cluster, Running, serve},
    envoy, inventory, start, start_server, v4,
};
use narrows_testbed::{
    agent::Agent,
    command,
    kubernetes::{Resource, manifests::Pod},
    load::Server,
    process::{self, Child},
    wait,
    workload::Workload,
    ztunnel::{Config, Ztunnel},
};
use serde_json::Value;
use std::{fs, io::Read as _, net::TcpStream, process::Command, time::Duration};
use tempfile::NamedTempFile;

/// `narrows drain --follow` asks once a second.
const PATIENCE: Duration = Duration::from_secs(30);

fn drains(agent: &Agent) -> Vec<Value> {
    let answer = agent.get_json("/api/v1/drains");
    answer["drains"].as_array().expect("a list").clone()
}

/// Waits for a tick after which the only drain is so.
#[track_caller]
fn wait_for(agent: &Agent, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    agent.wait_for(what, |_| matches!(&drains(agent)[..], [drain] if holds(drain)));
    drains(agent).swap_remove(0)
}

/// Numbers of connections by dependent, in the order in which they are told.
fn dependents(drain: &Value) -> Vec<(String, u64)> {
    let all = drain["dependents"].as_array().expect("a list").iter();
    all.map(|it| {
        let (name, n) = (it["name"].as_str().expect("a name"), it["connections"].as_u64());
        (name.to_owned(), n.expect("a number"))
    })
    .collect()
}

fn open(from: &Workload, n: usize) -> Vec<TcpStream> {
    (0..n)
        .map(|_| from.run(|| call(v4(2, 15008))).expect("answered"))
        .collect()
}

fn said(agent: &Agent, arguments: &[&str]) -> (String, String) {
    let mut program = Command::new(binary());
    program.args(["drain", "--agent", &format!("http://{}", agent.address())]);
    let output = command::output(program.args(arguments)).expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

/// `narrows drain --follow`, which ends with this guard.
struct Follow {
    output: NamedTempFile,
    _process: Child,
}

impl Follow {
    fn start(agent: &Agent) -> Self {
        let output = NamedTempFile::new().expect("a file");
        let mut command = Command::new(binary());
        command.args(["drain", "--follow", "--agent", &format!("http://{}", agent.address())]);
        command.stdout(output.reopen().expect("the file"));
        Self {
            _process: process::spawn(&mut command, None, None).expect("it starts"),
            output,
        }
    }

    /// What it has written so far.
    fn text(&self) -> String {
        fs::read_to_string(self.output.path()).expect("UTF-8")
    }

    #[track_caller]
    fn wait_for(&self, what: &str) {
        wait::until(what, PATIENCE, || self.text().contains(what).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()));
    }
}

#[test]
fn a_process_that_another_one_has_replaced_is_followed_until_nothing_hangs_on_it() {
    let world = World::new();
    let (checkout, billing) = (world.workload("checkout", 11), world.workload("billing", 12));
    let (catalog, waypoint) = (world.workload("catalog", 21), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout, &billing, &catalog], &[&waypoint]));
    let _server = start_server(&catalog);
    let old = envoy(&waypoint, 1);
    let mut held = open(&checkout, 5);
    held.extend(open(&billing, 2));
    let new = envoy(&waypoint, 1);
    // Both listen on the port, as two replicas on a node might.
    agent.settle();
    assert_eq!(drains(&agent), Vec::<Value>::new());
    assert!(said(&agent, &[]).1.contains("knows of no instance that is to go"));
    let follow = Follow::start(&agent);

    old.drain().expect("it closes its listeners");
    let drain = wait_for(&agent, "the drain", |drain| drain["connections"] == 7);
    assert_eq!(
        (&drain["point"], &drain["cause"]),
        (&"shop/waypoint".into(), &"replaced".into())
    );
    assert_eq!(
        (&drain["deadline"], &drain["cut"], &drain["first"]),
        (&Value::Null, &Value::Null, &7.into())
    );
    assert_eq!(dependents(&drain), [("checkout".into(), 5), ("billing".into(), 2)]);
    // What the new process accepts is none of it.
    let _more = open(&billing, 4);
    follow.wait_for("7 of 7");
    held.truncate(6);
    let drain = wait_for(&agent, "one less", |drain| drain["connections"] == 6);
    assert_eq!(dependents(&drain), [("checkout".into(), 5), ("billing".into(), 1)]);
    let metrics = agent.metrics();
    let labels = [("point", "shop/waypoint"), ("cause", "replaced")];
    assert_eq!(metrics.get("narrows_draining_connections", &labels), Some(6.0));
    let of = |who| metrics.sum("narrows_draining_dependent_connections", &[("source_workload", who)]);
    assert_eq!((of("checkout"), of("billing")), (5.0, 1.0));
    let (table, _) = said(&agent, &["--point", "shop/waypoint"]);
    assert!(table.contains("replaced") && table.contains("6 of 7"), "{table}");
    assert!(table.contains("shop/checkout 5, shop/billing 1"), "{table}");

    follow.wait_for("6 of 7");
    drop(held);
    agent.wait_for("the end", |_| drains(&agent).is_empty());
    follow.wait_for("gone");
    assert_eq!(agent.metrics().series("narrows_draining_connections").count(), 0);
    old.kill().expect("it is killed");
    drop(new);
}

/// A ztunnel's pod that is to go, and what hangs on it.
struct Tunnel {
    held: Vec<TcpStream>,
    ztunnel: Ztunnel,
    old: Running,
    agent: Agent,
    application: Running,
    cluster: Cluster,
    _server: Server,
    _waypoint: Running,
}

impl Tunnel {
    /// With ten connections of one workload.
    fn new() -> Self {
        let cluster = Cluster::new();
        let application = cluster.pod("istio-ambient-app", "catalog-aaaaa", 11);
        let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
        let old = revision(&cluster, "ztunnel-old", 3, 1);
        let agent = cluster.start(&[]);
        let server = serve(&waypoint, "istio-proxy", 2);
        let inside = application.sim.netns().expect("a network of its own");
        let config = Config {
            netns: vec![inside.path().to_owned()],
            waypoint: Some(v4(2, 8080)),
            raw: true,
        };
        let cgroup = old.sim.cgroup(&old.first());
        let ztunnel = Ztunnel::start_with(cgroup, &[inside], &config).expect("a stand-in for ztunnel");
        let open = |_| {
            let called = application.run(&application.first(), || call(v4(200, 80)));
            called.expect("answered")
        };
        let held = (0..10).map(open).collect();
        agent.wait_for("the connections", |m| {
            m.sum(
                "narrows_dependent_open_connections",
                &[("point", "istio-system/ztunnel")],
            ) == 10.0
        });
        agent.settle();
        assert_eq!(drains(&agent), Vec::<Value>::new());
        Self {
            held,
            ztunnel,
            old,
            agent,
            application,
            cluster,
            _server: server,
            _waypoint: waypoint,
        }
    }

    /// Its pod is deleted, with so many seconds until it is killed.
    fn delete_within(&self, seconds: u64) -> Value {
        let at = jiff::Timestamp::now() + Duration::from_secs(seconds);
        let deleted = self.old.object.clone();
        let deleted = deleted.deleting(&at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        self.cluster.api.put(Resource::Pods, deleted.into_value());
        let drain = wait_for(&self.agent, "its deletion", |drain| drain["cause"] == "terminating");
        let left = drain["seconds_left"].as_f64().expect("a time");
        assert!(left <= seconds as f64, "{drain}");
        drain
    }
}

/// The pod of a revision of the ztunnel, which started in that minute.
fn revision(cluster: &Cluster, name: &str, n: u8, minute: u8) -> Running {
    let pod = Pod::of("istio-ztunnel")
        .label("controller-revision-hash", &minute.to_string())
        .started(&format!("2026-01-01T00:{minute:02}:00Z"));
    let pod = cluster.prepare(pod, name, n);
    cluster.announce(&pod);
    pod
}

#[test]
fn a_ztunnel_whose_pod_goes_is_told_with_the_time_that_is_left() {
    let mut tunnel = Tunnel::new();
    // A pod of the next revision beside it.
    let _new = revision(&tunnel.cluster, "ztunnel-new", 4, 2);
    let drain = wait_for(&tunnel.agent, "the older one to be known as such", |drain| {
        drain["cause"] == "superseded"
    });
    assert_eq!(
        (&drain["instance"], &drain["connections"]),
        (&"ztunnel-old".into(), &10.into())
    );

    // Its deletion: the rest will not end in time, as nothing ends.
    let drain = tunnel.delete_within(40);
    assert_eq!(drain["cut"], 10.0, "{drain}");
    assert_eq!(dependents(&drain), [(tunnel.application.workload(), 10)]);
    let labels = [
        ("point", "istio-system/ztunnel"),
        ("instance_pod", "ztunnel-old"),
        ("cause", "terminating"),
    ];
    let metrics = tunnel.agent.settle();
    assert_eq!(metrics.get("narrows_drain_cut_connections", &labels), Some(10.0));
    let deadline = metrics
        .get("narrows_drain_deadline_timestamp_seconds", &labels)
        .expect("known");
    let start = metrics
        .get("narrows_drain_start_timestamp_seconds", &labels)
        .expect("known");
    assert!((0.0..=40.0).contains(&(deadline - start)), "{start} to {deadline}");

    // Six of ten end at once: at that rate the rest does, too.
    tunnel.held.truncate(4);
    wait_for(&tunnel.agent, "an end in time", |drain| {
        drain["connections"] == 4 && drain["cut"] == 0.0
    });
    tunnel.held.clear();
    wait_for(&tunnel.agent, "nothing that hangs on it", |drain| {
        drain["connections"] == 0
    });
}

#[test]
fn a_drain_that_does_not_end_is_told_with_what_the_kill_has_cut() {
    let mut tunnel = Tunnel::new();
    let follow = Follow::start(&tunnel.agent);
    let drain = tunnel.delete_within(5);
    assert_eq!((&drain["connections"], &drain["first"]), (&10.into(), &10.into()));
    follow.wait_for("10 of 10");
    let drain = wait_for(&tunnel.agent, "the end of the grace", |drain| {
        drain["seconds_left"].as_f64().is_some_and(|left| left <= 0.0)
    });
    // It is late to be killed, and all of them are still there.
    assert_eq!(
        (&drain["connections"], &drain["cut"]),
        (&10.into(), &10.0.into()),
        "{drain}"
    );
    follow.wait_for("over");

    // As kubelet does, of which the API server then knows.
    drop(tunnel.ztunnel);
    for held in &mut tunnel.held {
        assert!(!matches!(held.read(&mut [0]), Ok(1)), "it is cut");
    }
    drop(tunnel.old);
    assert!(tunnel.cluster.api.delete(Resource::Pods, "istio-system", "ztunnel-old"));
    tunnel.agent.wait_for("the end", |_| drains(&tunnel.agent).is_empty());
    follow.wait_for("gone");
    assert!(follow.text().contains("catalog"), "{}", follow.text());
}
