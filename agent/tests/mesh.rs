//! Points as meshes run them: a real Envoy as a shared waypoint, a ztunnel that works inside its workloads' namespaces,
//! a proxy recognised by its process; and an inventory that changes.

mod common;

use common::{World, envoy, expect, inventory, promtool, start, start_server, start_with, v4};
use narrows_testbed::{
    agent::Agent,
    cgroup::Cgroup,
    http,
    load::{Behaviour, Plan, Server},
    netns::Fabric,
    workload::Workload,
    ztunnel::Ztunnel,
};
use std::{fs, net::TcpListener, process::Command};

const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
const UP: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "upstream")];
const CALLED: &[(&str, &str)] = &[("point", "shop/waypoint")];

#[test]
fn a_thousand_connections_through_a_real_envoy() {
    let world = World::new();
    let (checkout, cart) = (world.workload("checkout", 11), world.workload("cart", 12));
    let (waypoint, catalog) = (world.workload("waypoint", 2), world.workload("catalog", 21));
    let agent = start(&inventory(&[&checkout, &cart, &catalog], &[&waypoint]));
    let server = start_server(&catalog);
    let envoy = envoy(&waypoint, 2);
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 700).run()).ok, 700);
    assert_eq!(cart.run(|| Plan::burst(v4(2, 15008), 300).run()).ok, 300);

    agent.wait_for("1,000 closed on both sides", |m| {
        m.sum("narrows_connections_closed_total", CALLED) == 2000.0
    });
    let (request, reply) = (1000.0 * 512.0, 1000.0 * 2048.0);
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, 1000.0),
            ("narrows_connections_opened_total", UP, 1000.0),
            ("narrows_connections_active", CALLED, 0.0),
            ("narrows_received_bytes_total", DOWN, request),
            ("narrows_sent_bytes_total", DOWN, reply),
            ("narrows_received_bytes_total", UP, reply),
            ("narrows_sent_bytes_total", UP, request),
            ("narrows_connect_duration_seconds_count", UP, 1000.0),
            ("narrows_connection_failures_total", &[], 0.0),
            ("narrows_client_connections_opened_total", CALLED, 1000.0),
            ("narrows_client_connection_failures_total", &[], 0.0),
            (
                "narrows_dependents",
                &[("scope", "workload"), ("point", "shop/waypoint")],
                2.0,
            ),
            (
                "narrows_dependents",
                &[("scope", "service_account"), ("point", "shop/waypoint")],
                2.0,
            ),
            (
                "narrows_dependents",
                &[("scope", "namespace"), ("point", "shop/waypoint")],
                1.0,
            ),
            ("narrows_unnamed_caller_connections_total", &[], 0.0),
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "checkout")],
                700.0,
            ),
            (
                "narrows_dependent_connections_total",
                &[
                    ("source_workload", "cart"),
                    ("source_principal", "spiffe://cluster.local/ns/shop/sa/cart"),
                ],
                300.0,
            ),
            ("narrows_dependent_connections_total", &[], 1000.0),
            ("narrows_dependent_bytes_total", &[], request + reply),
            ("narrows_dependent_failures_total", &[], 0.0),
        ],
    );
    // Envoy has a listening socket for each worker; the port counts as one.
    let queue: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];
    assert!(
        metrics
            .get("narrows_accept_queue_limit_connections", queue)
            .is_some_and(|limit| limit > 0.0)
    );
    assert_eq!(
        envoy
            .stat("listener_manager.total_listeners_active")
            .expect("Envoy answers"),
        1
    );
    assert_eq!(server.stop().answered, 1000);
    // With all that there is to say about a point.
    let exposition = http::get(agent.address(), "/metrics", "*/*").expect("an answer").body;
    assert_eq!(promtool(&exposition), None);
    assert_eq!(metrics.get("narrows_point_processes", CALLED), Some(1.0));
    drop(envoy);
    agent.wait_for("a point without processes", |m| {
        m.get("narrows_point_processes", CALLED) == Some(0.0)
    });
}

#[test]
fn a_killed_envoy_shows_at_its_callers() {
    let world = World::new();
    let (checkout, waypoint, catalog) = (
        world.workload("checkout", 11),
        world.workload("waypoint", 2),
        world.workload("catalog", 21),
    );
    let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
    let _server = start_server(&catalog);
    let envoy = envoy(&waypoint, 1);
    let kept = checkout
        .run(|| std::net::TcpStream::connect(v4(2, 15008)))
        .expect("connected");
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 10).run()).ok, 10);
    envoy.kill().expect("it dies");
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 25).run()).refused, 25);
    // One settled tick later, without waiting for more.
    expect(
        &agent.settle(),
        &[
            ("narrows_client_connections_opened_total", CALLED, 11.0),
            (
                "narrows_client_connection_failures_total",
                &[("reason", "refused"), ("phase", "handshake")],
                25.0,
            ),
            (
                "narrows_dependent_failures_total",
                &[("source_workload", "checkout"), ("reason", "refused")],
                25.0,
            ),
            ("narrows_connections_active", DOWN, 0.0),
        ],
    );
    drop(kept);
}

/// A network on which everybody has the same addresses as on the other.
struct Island {
    client: Workload,
    gateway: Workload,
    server: Server,
    _fabric: Fabric,
}

impl Island {
    fn new(top: &str, suffix: &str) -> Self {
        let fabric = Fabric::new(&format!("fabric-{suffix}")).expect("a network");
        let client = Workload::new(&fabric, top, &format!("client-{suffix}"), &["10.90.0.11/24"]).expect("a workload");
        let gateway = Workload::new(&fabric, top, &format!("gateway-{suffix}"), &["10.90.0.2/24"]).expect("a point");
        let server = gateway
            .run(|| Server::start(v4(2, 15008), Behaviour::default()))
            .expect("it listens");
        Self {
            client,
            gateway,
            server,
            _fabric: fabric,
        }
    }
}

#[test]
fn a_ztunnel_is_known_by_its_cgroup_and_its_workloads_by_their_namespaces() {
    let world = World::new();
    let (a, b) = (Island::new(&world.top, "a"), Island::new(&world.top, "b"));
    let ztunnel = Cgroup::new(&format!("{}/ztunnel", world.top)).expect("a cgroup");
    // The workloads have the same address and no cgroup: only their namespaces tell them apart.
    let text = format!(
        "workloads:\n  - {{ name: a, namespace: shop, addresses: [10.90.0.11], netns: {} }}\n  \
         - {{ name: b, namespace: billing, addresses: [10.90.0.11], netns: {} }}\npoints:\n  \
         - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: {} }}\n  \
         - {{ name: waypoint, namespace: shop, kind: waypoint, mesh: istio, addresses: [10.90.0.2] }}\n",
        a.client.netns.path().display(),
        b.client.netns.path().display(),
        ztunnel.path(),
    );
    let agent = start(&text);
    let mut tunnel = Ztunnel::start(&ztunnel, &[&a.client.netns, &b.client.netns], v4(2, 15008)).expect("a ztunnel");
    // To an address that nobody has: the ztunnel carries it to the waypoint.
    let to = v4(200, 80);
    assert_eq!(a.client.run(|| Plan::burst(to, 30).run()).ok, 30);
    assert_eq!(b.client.run(|| Plan::burst(to, 50).run()).ok, 50);
    assert_eq!(tunnel.tally().expect("it answers").accepted, 80);

    let down: &[(&str, &str)] = &[("point", "istio-system/ztunnel"), ("side", "downstream")];
    let up: &[(&str, &str)] = &[("point", "istio-system/ztunnel"), ("side", "upstream")];
    fn of(name: &str) -> [(&str, &str); 2] {
        [("point", "istio-system/ztunnel"), ("source_workload", name)]
    }
    agent.wait_for("160 closed", |m| {
        m.sum("narrows_connections_closed_total", &[("point", "istio-system/ztunnel")]) == 160.0
    });
    expect(
        &agent.settle(),
        &[
            ("narrows_connections_opened_total", down, 80.0),
            ("narrows_connections_opened_total", up, 80.0),
            ("narrows_connection_failures_total", &[], 0.0),
            ("narrows_dependent_connections_total", &of("a"), 30.0),
            ("narrows_dependent_connections_total", &of("b"), 50.0),
            (
                "narrows_dependent_connections_total",
                &[("point", "istio-system/ztunnel")],
                80.0,
            ),
            (
                "narrows_dependents",
                &[("point", "istio-system/ztunnel"), ("scope", "namespace")],
                2.0,
            ),
            // The waypoint is called by the ztunnel, in the name of both.
            ("narrows_client_connections_opened_total", CALLED, 80.0),
            (
                "narrows_dependent_connections_total",
                &[("point", "shop/waypoint"), ("source_workload", "a")],
                30.0,
            ),
            (
                "narrows_dependent_connections_total",
                &[("point", "shop/waypoint"), ("source_workload", "b")],
                50.0,
            ),
        ],
    );
    assert_eq!(a.server.tally().answered, 30);

    // With the waypoint gone, the ztunnel's failures are those of the workload whose call it was.
    b.server.stop();
    let tally = b.client.run(|| Plan::burst(to, 7).run());
    assert_eq!(tally.attempts, 7);
    let metrics = agent.wait_for("seven refusals", |m| {
        m.sum(
            "narrows_connection_failures_total",
            &[("side", "upstream"), ("reason", "refused")],
        ) == 7.0
    });
    expect(
        &metrics,
        &[
            (
                "narrows_dependent_failures_total",
                &[
                    ("point", "shop/waypoint"),
                    ("reason", "refused"),
                    ("source_workload", "b"),
                ],
                7.0,
            ),
            ("narrows_dependent_failures_total", &[("source_workload", "a")], 0.0),
        ],
    );
    let refused = of("b").into_iter().chain([("reason", "refused")]).collect::<Vec<_>>();
    expect(&metrics, &[("narrows_dependent_failures_total", &refused, 7.0)]);
    drop((a.gateway, b.gateway));
}

#[test]
fn a_cgroup_may_appear_later_than_the_agent() {
    let world = World::new();
    let path = format!("/{}/late", world.top);
    let text = format!("points:\n  - {{ name: late, namespace: shop, kind: sidecar, cgroup: {path} }}\n");
    let agent = start(&text);
    let missing = agent.get_json("/api/v1/status")["inventory"]["missing"].clone();
    assert!(
        missing[0].as_str().is_some_and(|line| line.contains(&path)),
        "{missing}"
    );
    assert_eq!(agent.settle().sum("narrows_inventory_missing", &[]), 1.0);
    let late = world.workload("late", 30);
    let _server = late
        .run(|| Server::start(v4(30, 80), Behaviour::default()))
        .expect("it listens");
    let other = world.workload("other", 31);
    assert_eq!(other.run(|| Plan::burst(v4(30, 80), 5).run()).ok, 5);
    agent.wait_for("five connections", |m| {
        m.sum(
            "narrows_connections_closed_total",
            &[("point", "shop/late"), ("side", "downstream")],
        ) == 5.0
    });
    expect(&agent.settle(), &[("narrows_inventory_missing", &[], 0.0)]);
}

#[test]
fn an_edited_inventory_is_read_again_and_a_bad_edit_is_not_used() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[], &[&waypoint]));
    let status = || agent.get_json("/api/v1/status")["inventory"].clone();
    let file = status()["file"].as_str().expect("a file").to_owned();
    let _server = waypoint
        .run(|| Server::start(v4(2, 15008), Behaviour::default()))
        .expect("it listens");
    let mut total = 0.0;
    let mut call = |agent: &Agent| {
        assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 10).run()).ok, 10);
        total += 10.0;
        agent.wait_for("ten more", |m| m.sum("narrows_connections_closed_total", DOWN) == total);
        agent.settle()
    };
    expect(
        &call(&agent),
        &[
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "unknown")],
                10.0,
            ),
            (
                "narrows_unnamed_caller_connections_total",
                &[("caller", "unknown")],
                10.0,
            ),
        ],
    );

    fs::write(&file, inventory(&[&checkout], &[&waypoint])).expect("written");
    agent.wait_for("the new version", |_| status()["entries"] == 2);
    expect(
        &call(&agent),
        &[
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "unknown")],
                10.0,
            ),
            ("narrows_unnamed_caller_connections_total", &[], 10.0),
            (
                "narrows_dependent_connections_total",
                &[("source_workload", "checkout")],
                10.0,
            ),
        ],
    );

    fs::write(
        &file,
        inventory(&[&checkout], &[&waypoint]).replace("kind: waypoint", "kind: wayponit"),
    )
    .expect("written");
    agent.wait_for("the bad edit to be seen", |m| {
        m.sum("narrows_inventory_valid", &[]) == 0.0
    });
    let error = status()["error"].as_str().expect("an error").to_owned();
    assert!(
        error.contains("inventory.yaml:5: unknown variant `wayponit`"),
        "{error}"
    );
    expect(
        &call(&agent),
        &[(
            "narrows_dependent_connections_total",
            &[("source_workload", "checkout")],
            20.0,
        )],
    );
}

#[test]
fn a_point_is_recognised_by_its_process() {
    let world = World::new();
    let (caller, proxy) = (world.workload("caller", 11), world.workload("proxy", 2));
    // A program that does nothing, under the name and with the arguments of a proxy.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("linkerd2-proxy");
    fs::copy("/usr/bin/tail", &program).expect("copied");
    let _process = proxy
        .spawn(Command::new(&program).args(["-f", "/dev/null"]))
        .expect("it runs");
    let own = directory.path().join("config.yaml");
    fs::write(
        &own,
        "points:\n  rules:\n    - { process: my-proxy, kind: egress_gateway, point: edge/mine }\n",
    )
    .expect("written");
    let second = world.workload("second", 3);
    let program = directory.path().join("my-proxy");
    fs::copy("/usr/bin/tail", &program).expect("copied");
    let _other = second
        .spawn(Command::new(&program).args(["-f", "/dev/null"]))
        .expect("it runs");

    let agent = start_with("workloads: []\n", &["--config", own.to_str().expect("UTF-8")]);
    for (workload, n) in [(&proxy, 2), (&second, 3)] {
        let server = workload
            .run(|| Server::start(v4(n, 4143), Behaviour::default()))
            .expect("it listens");
        assert_eq!(caller.run(|| Plan::burst(v4(n, 4143), 9).run()).ok, 9);
        server.stop();
    }
    for labels in [
        [
            ("point", "host/proxy"),
            ("kind", "sidecar"),
            ("mesh", "linkerd"),
            ("side", "downstream"),
        ],
        [
            ("point", "edge/mine"),
            ("kind", "egress_gateway"),
            ("mesh", "none"),
            ("side", "downstream"),
        ],
    ] {
        agent.wait_for("nine connections", |m| {
            m.sum("narrows_connections_closed_total", &labels) == 9.0
        });
    }
}

#[test]
fn two_listeners_of_one_port_are_one_queue() {
    let world = World::new();
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[], &[&waypoint]));
    let listeners: Vec<_> = waypoint
        .run(|| {
            ["10.90.0.2:15008", "127.0.0.1:15008"]
                .map(TcpListener::bind)
                .into_iter()
                .collect::<Result<_, _>>()
        })
        .expect("they listen");
    let port: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];
    agent.wait_for("both listeners", |m| {
        m.get("narrows_accept_queue_limit_connections", port) == Some(256.0)
    });
    drop::<Vec<TcpListener>>(listeners);
    agent.wait_for("their end", |m| {
        m.get("narrows_accept_queue_limit_connections", port).is_none()
    });
}
