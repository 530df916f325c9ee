//! Points and their control plane, a stand-in with real sockets: what is shown when it is stopped, and what of a reconnect.

mod common;

use common::{
    World,
    cluster::{Cluster, Running},
    inventory,
    pins::Pins,
    start_with, v4,
};
use narrows_testbed::{
    agent::Agent,
    kubernetes::{
        Resource,
        manifests::{self, Pod},
    },
    scrape::Metrics,
    workload::Workload,
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{SystemTime, UNIX_EPOCH},
};

const CONNECTIONS: &str = "narrows_control_plane_connections";
const CHANGED: &str = "narrows_control_plane_changed_timestamp_seconds";
const RECEIVED: &str = "narrows_control_plane_last_received_timestamp_seconds";
const OPENED: &str = "narrows_control_plane_connections_opened_total";
const FAILURES: &str = "narrows_control_plane_failures_total";

/// The link of one point. All of its series have these labels.
fn link(point: &str) -> [(&str, &str); 3] {
    [
        ("point", point),
        ("destination_workload_namespace", "istio-system"),
        ("destination_workload", "istiod"),
    ]
}

const SHOP: &str = "shop/waypoint";
const PAY: &str = "shop/pay";

/// Unix time in seconds.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

/// When the last tick that is published read its counters, as Unix time in seconds: what happens now is of a later one.
fn last_tick(agent: &Agent) -> f64 {
    let points = agent.get_json("/api/v1/points");
    let time = points["as_of"]["time"].as_str().expect("a time");
    let time: jiff::Timestamp = time.parse().expect("RFC 3339");
    time.as_millisecond() as f64 / 1e3
}

/// Connections, and since when.
fn state(metrics: &Metrics, point: &str) -> (Option<f64>, f64) {
    let since = metrics.get(CHANGED, &link(point)).unwrap_or_default();
    (metrics.get(CONNECTIONS, &link(point)), since)
}

/// Two points of a mesh, and its control plane: a listener, and what the points have opened to it.
struct Mesh {
    waypoint: Workload,
    pay: Workload,
    istiod: Workload,
    pins: Pins,
    // Last, as the others are attached to its network.
    _world: World,
}

/// A connection of a point, with the control plane's end.
struct Connection {
    point: TcpStream,
    control_plane: TcpStream,
}

/// Sends, and reads what was sent: a connection with unread bytes would end in a reset.
fn push(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).expect("open");
    to.read_exact(&mut vec![0; what.len()]).expect("open");
}

impl Mesh {
    fn new() -> Self {
        let world = World::new();
        Self {
            waypoint: world.workload("waypoint", 2),
            pay: world.workload("pay", 3),
            istiod: world.workload("istiod", 5),
            pins: Pins::new().expect("a BPF file system"),
            _world: world,
        }
    }

    fn agent(&self) -> Agent {
        let points = inventory(&[], &[&self.waypoint, &self.pay]);
        let control_plane =
            "control_planes:\n  - { name: istiod, namespace: istio-system, mesh: istio, addresses: [10.90.0.5] }\n";
        start_with(&format!("{points}{control_plane}"), &["--pins", self.pins.path()])
    }

    fn control_plane(&self) -> TcpListener {
        self.istiod.run(|| TcpListener::bind(address())).expect("it listens")
    }
}

fn address() -> SocketAddr {
    v4(5, 15012)
}

fn connect(point: &Workload, control_plane: &TcpListener) -> Connection {
    let stream = point.run(|| TcpStream::connect(address())).expect("it listens");
    let (accepted, _) = control_plane.accept().expect("the point has connected");
    Connection {
        point: stream,
        control_plane: accepted,
    }
}

/// An attempt that is refused.
fn refused(point: &Workload) {
    let error = point.run(|| TcpStream::connect(address())).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_control_plane_that_is_stopped_is_seen_within_two_ticks() {
    let mesh = Mesh::new();
    let agent = mesh.agent();
    let listener = mesh.control_plane();
    assert_eq!(
        agent.settle().series(CONNECTIONS).count(),
        0,
        "a point without a link is not said to be cut off"
    );
    let begin = last_tick(&agent);
    let (shop, pay) = (connect(&mesh.waypoint, &listener), connect(&mesh.pay, &listener));
    let metrics = agent.settle();
    for point in [SHOP, PAY] {
        let (connections, since) = state(&metrics, point);
        assert_eq!(connections, Some(1.0), "{}", metrics.listing(CONNECTIONS));
        assert!((begin..=now()).contains(&since), "{point}: {begin} {since}");
    }
    let since = state(&metrics, PAY).1;

    // The control plane closes the connection of one of them, and accepts no other.
    drop(listener);
    let stopped = last_tick(&agent);
    drop(shop);
    let metrics = agent.settle();
    let (connections, changed) = state(&metrics, SHOP);
    assert_eq!(connections, Some(0.0), "two ticks later");
    assert!((stopped..=now()).contains(&changed), "{stopped} {changed}");
    assert_eq!(
        state(&metrics, PAY),
        (Some(1.0), since),
        "the other one still has its own"
    );

    // It tries again, in vain.
    refused(&mesh.waypoint);
    refused(&mesh.waypoint);
    let metrics = agent.settle();
    assert_eq!(
        state(&metrics, SHOP),
        (Some(0.0), changed),
        "since then, and not since the last attempt"
    );
    let why = [("point", SHOP), ("reason", "refused"), ("phase", "handshake")];
    assert_eq!(metrics.get(FAILURES, &why), Some(2.0));
    assert_eq!(metrics.series(FAILURES).count(), 1);

    // The next agent knows it, too.
    agent.kill().expect("it ran");
    let agent = mesh.agent();
    let metrics = agent.settle();
    assert_eq!(state(&metrics, SHOP), (Some(0.0), changed));
    assert_eq!(state(&metrics, PAY), (Some(1.0), since));
    assert_eq!(metrics.get(OPENED, &link(SHOP)), Some(1.0));
    assert_eq!(metrics.get(FAILURES, &why), Some(2.0));

    // While there is none, it ends; the agent that comes finds it gone.
    agent.kill().expect("it ran");
    drop(pay);
    let ended = now();
    let agent = mesh.agent();
    let metrics = agent.settle();
    let (connections, changed) = state(&metrics, PAY);
    assert_eq!(connections, Some(0.0));
    assert!((ended..=now()).contains(&changed), "{ended} {changed}");

    let listener = mesh.control_plane();
    let back = last_tick(&agent);
    let _again = connect(&mesh.waypoint, &listener);
    let metrics = agent.settle();
    let (connections, changed) = state(&metrics, SHOP);
    assert_eq!((connections, metrics.get(OPENED, &link(SHOP))), (Some(1.0), Some(2.0)));
    assert!((back..=now()).contains(&changed), "{back} {changed}");
}

#[test]
fn a_reconnect_is_counted_and_no_interruption_and_bytes_move_the_last_received_time() {
    let mesh = Mesh::new();
    let agent = mesh.agent();
    let listener = mesh.control_plane();
    let mut first = connect(&mesh.waypoint, &listener);
    let metrics = agent.settle();
    let before = state(&metrics, SHOP);
    assert_eq!(before.0, Some(1.0));
    assert_eq!(metrics.get(RECEIVED, &link(SHOP)), None, "nothing was received so far");

    let sent = last_tick(&agent);
    push(&mut first.control_plane, &mut first.point, b"configuration");
    let last_received = |metrics: &Metrics| metrics.get(RECEIVED, &link(SHOP));
    let metrics = agent.wait_for("bytes", |metrics| last_received(metrics).is_some());
    let received = last_received(&metrics).expect("bytes came");
    assert!((sent..=now()).contains(&received), "{sent} {received}");
    // What the point itself sends is no sign of life of the other end.
    push(&mut first.point, &mut first.control_plane, b"acknowledged");
    assert_eq!(agent.settle().get(RECEIVED, &link(SHOP)), Some(received));
    push(&mut first.control_plane, &mut first.point, b"more");
    agent.wait_for("more bytes", |metrics| last_received(metrics) > Some(received));

    // As an istiod asks of a proxy every half an hour: a new connection, then the old one ends.
    for n in 2..=4_u8 {
        let next = connect(&mesh.waypoint, &listener);
        drop(std::mem::replace(&mut first, next));
        let metrics = agent.settle();
        assert_eq!(state(&metrics, SHOP), before, "connected since as long as ever");
        assert_eq!(metrics.get(OPENED, &link(SHOP)), Some(f64::from(n)));
    }
    assert_eq!(agent.metrics().series(FAILURES).count(), 0);
}

#[test]
fn in_a_cluster_labels_say_who_is_a_control_plane_and_a_service_stands_for_it() {
    let cluster = Cluster::new();
    // The address of the service is one more of its only pod, so that nothing has to translate it.
    let addresses = ["10.90.0.5/24", "10.90.0.50/24", "fd00:90::5/64"];
    let world = &cluster.world;
    let istiod = Workload::new(&world.fabric, &world.top, "istiod", &addresses).expect("a workload");
    let pod = Pod::of("deployment")
        .named("istio-system", "istiod-6d7f8b9c5-x")
        .label("app", "istiod")
        .label("pod-template-hash", "6d7f8b9c5")
        .owner("ReplicaSet", "istiod-6d7f8b9c5")
        .node("worker-2")
        .ip(&["10.90.0.5"]);
    let service = manifests::service("istio-system", "istiod", &[("app", "istiod")], &["10.90.0.50"]);
    cluster.api.put(Resource::Services, service);
    cluster.api.put(Resource::Pods, pod.into_value());
    let (waypoint, sidecar) = (
        cluster.pod("istio-waypoint", "waypoint-1", 2),
        cluster.pod("istio-sidecar", "sidecar-1", 11),
    );
    let configuration = cluster.configuration("identity: { settle: 0.2, wait: 2 }\n");
    let agent = cluster.start(&["--config", &configuration]);
    let to = v4(50, 15012);
    let listener = istiod.run(|| TcpListener::bind(to)).expect("it listens");
    let open = |pod: &Running, container: &str| {
        let stream = pod.run(container, || TcpStream::connect(to)).expect("it listens");
        (stream, listener.accept().expect("it has connected"))
    };
    let of_waypoint = open(&waypoint, "istio-proxy");
    let _of_sidecar = open(&sidecar, &sidecar.sidecar());
    // What an application opens is nobody's link.
    let _of_application = open(&sidecar, &sidecar.application());
    let all = |m: &Metrics| m.sum(CONNECTIONS, &link("shop/waypoint")[1..]);
    agent.wait_for("a link of both points", |m| all(m) == 2.0);
    let metrics = agent.settle();
    assert_eq!(metrics.get(CONNECTIONS, &link("shop/waypoint")), Some(1.0));
    assert_eq!((all(&metrics), metrics.series(CONNECTIONS).count()), (2.0, 2));

    // Its pods are gone, and attempts are made to the service alone.
    cluster.api.delete(Resource::Pods, "istio-system", "istiod-6d7f8b9c5-x");
    drop(of_waypoint);
    drop(listener);
    let cut = agent.wait_for("the end of the waypoint's link", |m| {
        m.get(CONNECTIONS, &link("shop/waypoint")) == Some(0.0)
    });
    let changed = state(&cut, "shop/waypoint").1;
    waypoint
        .run("istio-proxy", || TcpStream::connect(to))
        .expect_err("nobody listens");
    let refused = [("point", "shop/waypoint"), ("reason", "refused")];
    let metrics = agent.wait_for("its attempt", |m| m.get(FAILURES, &refused) == Some(1.0));
    assert_eq!(state(&metrics, "shop/waypoint"), (Some(0.0), changed));
    assert_eq!(
        metrics.series(CONNECTIONS).count(),
        2,
        "{}",
        metrics.listing(CONNECTIONS)
    );
}
