//! Attribution on a node of a cluster: pods in cgroups as kubelets and runtimes lay them out, their objects on an API server,
//! and real traffic between them.

mod common;

use common::{
    cluster::{Cluster, NODE, Running, connect, serve},
    expect, v4,
};
use narrows_testbed::{
    kubernetes::{
        Resource,
        manifests::{self, Pod},
        node::{Layout, Qos},
    },
    load::{Behaviour, Plan, Server},
};
use std::net::{Ipv4Addr, SocketAddr};

const ATTRIBUTED: &str = "narrows_attributed_connections_total";
const DEPENDENT: &str = "narrows_dependent_connections_total";

/// A deployment's pod whose workload has this name.
fn deployment(workload: &str) -> Pod {
    Pod::of("deployment")
        .label("pod-template-hash", "6d7f8b9c5")
        .owner("ReplicaSet", &format!("{workload}-6d7f8b9c5"))
}

#[test]
fn both_ends_of_a_connection_are_named() {
    let cluster = Cluster::new();
    let client = cluster.pod("istio-ambient-app", "catalog-aaaaa", 11);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
    let workload = client.workload();
    let agent = cluster.start(&[]);
    let server = serve(&waypoint, "istio-proxy", 2);
    connect(&client, &client.first(), 2, 20);
    agent.wait_for("20 attributed dependents", |m| m.sum(DEPENDENT, &[]) == 20.0);
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            (
                "narrows_connections_opened_total",
                &[
                    ("point", "shop/waypoint"),
                    ("kind", "waypoint"),
                    ("mesh", "istio"),
                    ("instance_pod", "waypoint-6f7d9c8b5d-bbbbb"),
                    ("side", "downstream"),
                ],
                20.0,
            ),
            (
                DEPENDENT,
                &[
                    ("source_workload_namespace", &client.namespace()),
                    ("source_workload", &workload),
                    ("source_principal", &client.istio_principal()),
                ],
                20.0,
            ),
            (
                "narrows_client_connections_opened_total",
                &[("point", "shop/waypoint")],
                20.0,
            ),
            (ATTRIBUTED, &[("end", "local"), ("result", "point")], 20.0),
            (ATTRIBUTED, &[("end", "local"), ("result", "workload")], 20.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "point")], 20.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "workload")], 20.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "unknown")], 0.0),
        ],
    );
    assert_eq!(server.stop().answered, 20);
}

#[test]
fn a_container_is_known_in_every_layout() {
    let cluster = Cluster::new();
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    let _server = serve(&waypoint, "istio-proxy", 2);
    let agent = cluster.start(&[]);
    let mut pods = Vec::new();
    let mut n = 20;
    for (place, layout) in Layout::ALL.iter().enumerate() {
        // Each class of service in turn, and on each layout a static pod.
        for is_static in [false, true] {
            let qos = Qos::ALL[(place + usize::from(is_static)) % Qos::ALL.len()];
            let name = format!("app-{n}");
            let pod = if is_static {
                let object = cluster.object(Pod::of("static"), &format!("{name}-{NODE}"), n, *layout);
                let hash = format!("{n:032x}");
                let object = object
                    .annotation("kubernetes.io/config.mirror", &hash)
                    .annotation("kubernetes.io/config.hash", &hash);
                cluster.place(not_on_the_host(object, n), &hash, n, *layout, qos)
            } else {
                cluster.prepare_as(deployment(&name), &format!("{name}-6d7f8b9c5-x"), n, *layout, qos)
            };
            cluster.announce(&pod);
            pods.push((name, pod, *layout, qos));
            n += 1;
        }
    }
    for (_, pod, ..) in &pods {
        connect(pod, &pod.first(), 2, 3);
    }
    agent.wait_for("all dependents", |m| m.sum(DEPENDENT, &[]) == 3.0 * pods.len() as f64);
    let metrics = agent.settle();
    for (name, _, layout, qos) in &pods {
        let found = metrics.sum(DEPENDENT, &[("source_workload", name)]);
        assert_eq!(
            found,
            3.0,
            "{name} in {layout:?} {qos:?}\n{}",
            metrics.listing(DEPENDENT)
        );
    }
    // By their own sockets, not only by their addresses.
    let local = metrics.sum(ATTRIBUTED, &[("end", "local"), ("result", "workload")]);
    assert_eq!(local, 3.0 * pods.len() as f64);
    let status = agent.get_json("/api/v1/status");
    assert!(status["unknown_cgroup_layout"].is_null(), "{status}");
}

/// Most static pods use the node's network, whose address would not tell them apart here.
fn not_on_the_host(mut pod: Pod, n: u8) -> Pod {
    pod.0["spec"]["hostNetwork"] = false.into();
    pod.ip(&[&format!("10.90.0.{n}")])
}

#[test]
fn a_pod_that_lives_for_a_second_is_attributed_in_full() {
    let cluster = Cluster::new();
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    let _server = serve(&waypoint, "istio-proxy", 2);
    // It comes and goes between two ticks, and its object arrives when it is gone.
    let agent = cluster.start(&["--interval", "3"]);
    cluster.api.hold(Resource::Pods);
    let pod = cluster.pod("job", "migrate-8-xyz", 31);
    let job = pod.workload();
    connect(&pod, &pod.first(), 2, 10);
    let object = pod.object.clone();
    pod.sim.remove().expect("it is gone");
    let ended = object.finished(&common::cluster::time_now());
    cluster.api.put(Resource::Pods, ended.into_value());
    cluster.api.delete(Resource::Pods, "shop", "migrate-8-xyz");
    let opened = [("point", "shop/waypoint"), ("side", "downstream")];
    agent.wait_for("the waypoint's own count", |m| {
        m.sum("narrows_connections_opened_total", &opened) == 10.0
    });
    assert_eq!(
        agent.metrics().sum(DEPENDENT, &[]),
        0.0,
        "nobody knows yet whose they were"
    );
    cluster.api.release(Resource::Pods);
    agent.wait_for("ten dependents' connections", |m| {
        m.sum(DEPENDENT, &[("source_workload", &job)]) == 10.0
    });
    expect(
        &agent.settle(),
        &[
            (ATTRIBUTED, &[("end", "local"), ("result", "workload")], 10.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "workload")], 10.0),
            (ATTRIBUTED, &[("result", "unknown")], 0.0),
            (DEPENDENT, &[], 10.0),
        ],
    );
}

#[test]
fn what_stays_unknown_is_counted_as_such_after_the_wait() {
    let cluster = Cluster::new();
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    let _server = serve(&waypoint, "istio-proxy", 2);
    let configuration = cluster.configuration("identity: { wait: 1, settle: 0.2 }\n");
    let agent = cluster.start(&["--config", &configuration]);
    // In a pod's cgroup, with an object that never comes.
    let stranger = cluster.prepare(deployment("stranger"), "stranger-1", 41);
    connect(&stranger, &stranger.first(), 2, 5);
    let unknown = [("source_workload", "unknown")];
    agent.wait_for("five connections of somebody unknown", |m| {
        m.sum(DEPENDENT, &unknown) == 5.0
    });
    agent.wait_for("both ends", |m| m.sum(ATTRIBUTED, &[("result", "unknown")]) == 10.0);
    // One that is still open when its owner becomes known moves there.
    let open = stranger
        .run(&stranger.first(), || std::net::TcpStream::connect(v4(2, 8080)))
        .expect("connected");
    agent.wait_for("a sixth", |m| m.sum(DEPENDENT, &unknown) == 6.0);
    cluster.announce(&stranger);
    agent.wait_for("a dependent", |m| {
        m.sum("narrows_dependent_active", &[("source_workload", "stranger")]) == 1.0
    });
    drop(open);
}

#[test]
fn a_ztunnel_acts_for_the_pods_whose_namespaces_it_is_in() {
    let cluster = Cluster::new();
    let app = cluster.pod("istio-ambient-app", "catalog-1", 11);
    let other = cluster.prepare(deployment("other"), "other-1", 12);
    cluster.announce(&other);
    let ztunnel = cluster.pod("istio-ztunnel", "ztunnel-aaaaa", 3);
    let agent = cluster.start(&[]);
    // Applications have sockets of their own, which show the agent where they are.
    let _application = serve(&app, &app.first(), 11);
    let _another = serve(&other, &other.first(), 12);
    let place = |pod: &Running| {
        let inside = pod.sim.netns().expect("its own network");
        ztunnel.sim.cgroup("istio-proxy").enter(|| {
            inside.run(|| Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 15001)), Behaviour::default()))
        })
    };
    let (_captured, _also) = (place(&app).expect("it listens"), place(&other).expect("it listens"));
    let outbound = SocketAddr::from((Ipv4Addr::LOCALHOST, 15001));
    assert_eq!(app.run(&app.first(), || Plan::burst(outbound, 4).run()).ok, 4);
    assert_eq!(other.run(&other.first(), || Plan::burst(outbound, 6).run()).ok, 6);
    // And out of the application's namespace, to where nobody listens.
    let inside = app.sim.netns().expect("its own network");
    ztunnel
        .sim
        .cgroup("istio-proxy")
        .enter(|| assert_eq!(inside.run(|| Plan::burst(v4(12, 15008), 3).run()).refused, 3));
    agent.wait_for("all dependents", |m| {
        m.sum(DEPENDENT, &[]) == 10.0 && m.sum("narrows_dependent_failures_total", &[]) == 3.0
    });
    let point = ("point", "istio-system/ztunnel");
    let workload = app.workload();
    expect(
        &agent.settle(),
        &[
            (
                "narrows_connections_opened_total",
                &[
                    point,
                    ("kind", "ztunnel"),
                    ("instance_pod", "ztunnel-aaaaa"),
                    ("side", "downstream"),
                ],
                10.0,
            ),
            (DEPENDENT, &[point, ("source_workload", &workload)], 4.0),
            (DEPENDENT, &[point, ("source_workload", "other")], 6.0),
            (
                "narrows_dependent_failures_total",
                &[point, ("source_workload", &workload), ("reason", "refused")],
                3.0,
            ),
        ],
    );
}

#[test]
fn a_pod_without_sockets_is_placed_by_its_processes() {
    let cluster = Cluster::new();
    let mut quiet = cluster.pod("istio-ambient-app", "catalog-1", 11);
    quiet.sim.start_pause().expect("a process");
    let _nobody_listens = cluster.pod("deployment", "inventory-1", 12);
    let ztunnel = cluster.pod("istio-ztunnel", "ztunnel-aaaaa", 3);
    let agent = cluster.start(&[]);
    let inside = quiet.sim.netns().expect("its own network");
    ztunnel
        .sim
        .cgroup("istio-proxy")
        .enter(|| assert_eq!(inside.run(|| Plan::burst(v4(12, 15008), 3).run()).refused, 3));
    let workload = quiet.workload();
    let labels = [
        ("point", "istio-system/ztunnel"),
        ("source_workload", workload.as_str()),
    ];
    agent.wait_for("the failures of the pod", |m| {
        m.sum("narrows_dependent_failures_total", &labels) == 3.0
    });
}

#[test]
fn two_ztunnels_during_an_update_are_both_seen() {
    let cluster = Cluster::new();
    let agent = cluster.start(&[]);
    let old = cluster.pod("istio-ztunnel", "ztunnel-old", 3);
    let new = cluster.pod("istio-ztunnel", "ztunnel-new", 4);
    // Without any traffic.
    let instances = |m: &narrows_testbed::scrape::Metrics| {
        let here = |name| {
            m.get(
                "narrows_connections_active",
                &[("instance_pod", name), ("side", "upstream")],
            )
        };
        (here("ztunnel-old").is_some(), here("ztunnel-new").is_some())
    };
    agent.wait_for("both instances", |m| instances(m) == (true, true));
    let _server = serve(&new, "istio-proxy", 4);
    connect(&old, "istio-proxy", 4, 2);
    agent.wait_for("traffic between them", |m| {
        m.sum(
            "narrows_connections_opened_total",
            &[("instance_pod", "ztunnel-old"), ("side", "upstream")],
        ) == 2.0
            && m.sum(
                "narrows_connections_opened_total",
                &[("instance_pod", "ztunnel-new"), ("side", "downstream")],
            ) == 2.0
    });
    // The old one goes; it stays to be seen for the window only.
    drop(agent);
    let configuration = cluster.configuration("dependency_window: 1\n");
    let agent = cluster.start(&["--config", &configuration]);
    agent.wait_for("both instances", |m| instances(m) == (true, true));
    cluster.api.delete(Resource::Pods, "istio-system", "ztunnel-old");
    old.sim.remove().expect("it is gone");
    agent.wait_for("the new one alone", |m| instances(m) == (false, true));
}

#[test]
fn a_call_to_a_service_carries_the_labels_of_the_point_behind_it() {
    let cluster = Cluster::new();
    let client = cluster.pod("deployment", "inventory-1", 11);
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    // One more that runs on another node, known by its address alone.
    let elsewhere = Pod::of("istio-waypoint").named("shop", "waypoint-2").node("worker-2");
    let elsewhere = elsewhere.uid(&common::cluster::fresh_uid()).ip(&["10.90.0.9"]);
    cluster.api.put(Resource::Pods, elsewhere.into_value());
    let selector = [("gateway.networking.k8s.io/gateway-name", "waypoint")];
    cluster.api.put(
        Resource::Services,
        manifests::service("shop", "waypoint", &selector, &["10.96.0.10"]),
    );
    // As kube-proxy would lead it there.
    let inside = waypoint.sim.netns().expect("its own network");
    inside.exec("ip addr add 10.96.0.10/32 dev eth0").expect("an address");
    cluster
        .world
        .fabric
        .netns()
        .exec("ip route add 10.96.0.10 via 10.90.0.2")
        .expect("a route");
    let agent = cluster.start(&[]);
    let service = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 10), 15008));
    let _server = waypoint
        .run("istio-proxy", || Server::start(service, Behaviour::default()))
        .expect("it listens");
    assert_eq!(client.run("inventory", || Plan::burst(service, 7).run()).ok, 7);
    let called = [("point", "shop/waypoint"), ("kind", "waypoint"), ("mesh", "istio")];
    agent.wait_for("seven calls", |m| {
        m.sum("narrows_client_connections_opened_total", &called) == 7.0
    });
    // The pod on the other node does not answer, and is the same point.
    let refused = client.run("inventory", || Plan::burst(v4(9, 15008), 1).run());
    assert_eq!(refused.ok, 0);
    agent.wait_for("a failed call", |m| {
        m.sum("narrows_client_connection_failures_total", &called) == 1.0
    });
    expect(
        &agent.settle(),
        &[
            (
                DEPENDENT,
                &[("source_workload", "inventory"), ("instance_pod", "waypoint-1")],
                7.0,
            ),
            (DEPENDENT, &[], 7.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "point")], 7.0),
        ],
    );
}

#[test]
fn an_applications_sockets_beside_a_sidecar_are_the_applications() {
    let cluster = Cluster::new();
    let client = cluster.pod("deployment", "inventory-1", 11);
    let agent = cluster.start(&[]);
    for (n, manifest) in [
        (20, "istio-sidecar"),
        (21, "istio-sidecar-native"),
        (22, "linkerd-sidecar"),
        (23, "kuma2-sidecar"),
    ] {
        let pod = cluster.pod(manifest, &format!("{manifest}-1"), n);
        let application = pod.application();
        let _server = serve(&pod, &application, n);
        connect(&client, "inventory", n, 5);
        // The sidecar delivers to its own application.
        let sidecar = pod.sidecar();
        connect(&pod, &sidecar, n, 2);
        let workload = pod.workload();
        let instance = format!("{manifest}-1");
        agent.wait_for("what the sidecar opened", |m| {
            m.sum(
                "narrows_connections_opened_total",
                &[("instance_pod", &instance), ("side", "upstream")],
            ) == 2.0
        });
        let point = format!("{}/{workload}", pod.namespace());
        expect(
            &agent.settle(),
            &[
                (
                    "narrows_connections_opened_total",
                    &[("point", &point), ("kind", "sidecar"), ("instance_pod", &instance)],
                    2.0,
                ),
                (DEPENDENT, &[("point", &point)], 0.0),
            ],
        );
    }
}

#[test]
fn the_nodes_address_is_never_a_pods() {
    let cluster = Cluster::new();
    // A pod on the host's network, and the node's address in its status.
    let host = Pod::of("cilium-envoy").node("worker-2").ip(&["10.90.0.1"]);
    cluster.api.put(Resource::Pods, host.into_value());
    cluster.api.put(
        Resource::Nodes,
        manifests::node("worker-2", &["10.90.0.1"], "10.91.0.0/24"),
    );
    let client = cluster.pod("deployment", "inventory-1", 11);
    let agent = cluster.start(&[]);
    let gateway = cluster.world.fabric.netns();
    let _server = gateway
        .run(|| Server::start(v4(1, 8080), Behaviour::default()))
        .expect("it listens");
    connect(&client, "inventory", 1, 4);
    // Other connections of this node's own count as the node's, too.
    agent.wait_for("both ends of the four connections", |m| {
        m.sum(ATTRIBUTED, &[("end", "local"), ("result", "workload")]) == 4.0
            && m.sum(ATTRIBUTED, &[("end", "remote"), ("result", "workload")]) == 4.0
    });
    expect(
        &agent.settle(),
        &[
            (ATTRIBUTED, &[("end", "remote"), ("result", "point")], 0.0),
            (ATTRIBUTED, &[("end", "remote"), ("result", "unknown")], 0.0),
            ("narrows_client_connections_opened_total", &[], 0.0),
        ],
    );
}

#[test]
fn a_strange_cgroup_layout_is_reported_once_with_an_example() {
    let cluster = Cluster::new();
    let waypoint = cluster.pod("istio-waypoint", "waypoint-1", 2);
    let _server = serve(&waypoint, "istio-proxy", 2);
    let agent = cluster.start(&[]);
    for n in 0..3_u8 {
        let path = format!(
            "{}/kubepods.slice/kubepods-pod-of-a-new-kind-{n}/container",
            cluster.world.top
        );
        let cgroup = narrows_testbed::cgroup::Cgroup::new(&path).expect("a cgroup");
        let client = cluster.world.workload(&format!("strange-{n}"), 50 + n);
        cgroup.enter(|| client.netns.run(|| assert_eq!(Plan::burst(v4(2, 8080), 1).run().ok, 1)));
        agent.settle();
    }
    let status = agent.get_json("/api/v1/status");
    let example = status["unknown_cgroup_layout"].as_str().expect("an example");
    assert!(example.contains("pod-of-a-new-kind"), "{example}");
    let said = agent
        .stderr()
        .matches("laid out in a way that Narrows does not know")
        .count();
    assert_eq!(said, 1, "{}", agent.stderr());
}
