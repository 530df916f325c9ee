//! Somebody of everybody on one node: callers, points that are known in each way, and connections from before the agent.

use super::{
    cluster::{Cluster, Running, connect, serve},
    expect,
    processes::{Proxy, proxies},
    v4,
};
use narrows_testbed::{agent::Agent, load::Plan};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};
use tempfile::TempDir;

pub const OPENED: &str = "narrows_connections_opened_total";
const DEPENDENT: &str = "narrows_dependent_connections_total";
pub const FAILED: &str = "narrows_dependent_failures_total";

/// The waypoint, whose container the rules know.
const WAYPOINT: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];

/// Failures of the quiet one, which has no socket: only its process shows in whose network namespace the ztunnel was.
pub const QUIET: &[(&str, &str)] = &[("point", "istio-system/ztunnel"), ("source_workload", "catalog")];

/// Somebody of everybody, and connections that are there before the agent is.
pub struct Shop {
    client: Running,
    waypoint: Running,
    ztunnel: Running,
    /// It has a process and no socket.
    quiet: Running,
    pub proxies: Vec<Proxy>,
    /// Both ends.
    open: Vec<(TcpStream, TcpStream)>,
    _files: TempDir,
}

impl Shop {
    pub fn new(cluster: &Cluster) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let client = cluster.pod("deployment", "inventory-6d7f8b9c5-aaaaa", 11);
        let waypoint = cluster.pod("istio-waypoint", "waypoint-6f7d9c8b5d-bbbbb", 2);
        let mut quiet = cluster.pod("istio-ambient-app", "catalog-ccccc", 12);
        quiet.sim.start_pause().expect("a process");
        let listener = waypoint
            .run("istio-proxy", || TcpListener::bind(v4(2, 15008)))
            .expect("it listens");
        let connection = || {
            let caller = client.run(&client.first(), || TcpStream::connect(v4(2, 15008)));
            (caller.expect("connected"), listener.accept().expect("accepted").0)
        };
        Self {
            open: (0..3).map(|_| connection()).collect(),
            ztunnel: cluster.pod("istio-ztunnel", "ztunnel-ddddd", 3),
            proxies: proxies(cluster, &files, 21),
            _files: files,
            client,
            waypoint,
            quiet,
        }
    }

    /// Lets everybody do something, and waits for what the agent shows with and without looking at processes.
    pub fn trade(&self, agent: &Agent) {
        for (caller, accepted) in &self.open {
            let (mut caller, mut accepted) = (caller, accepted);
            caller.write_all(&[1; 300]).expect("sent");
            accepted.read_exact(&mut [0; 300]).expect("received");
        }
        let _server = serve(&self.waypoint, "istio-proxy", 2);
        connect(&self.client, &self.client.first(), 2, 20);
        for proxy in &self.proxies {
            connect(&self.client, &self.client.first(), proxy.n, 5);
            connect(&proxy.pod, &proxy.pod.first(), 2, 4);
        }
        // In the name of the quiet one, to where nobody listens.
        let inside = self.quiet.sim.netns().expect("a network of its own");
        let tally = self
            .ztunnel
            .sim
            .cgroup("istio-proxy")
            .enter(|| inside.run(|| Plan::burst(v4(11, 9), 3).run()));
        assert_eq!(tally.refused, 3);

        let from_proxies = 4.0 * self.proxies.len() as f64;
        let dependents = 20.0 + from_proxies;
        agent.wait_for("all dependents of the waypoint", |m| {
            m.sum(DEPENDENT, &[("point", "shop/waypoint")]) == dependents
        });
        let metrics = agent.settle();
        let waypoint = ("point", "shop/waypoint");
        let ztunnel = [
            ("point", "istio-system/ztunnel"),
            ("side", "upstream"),
            ("reason", "refused"),
        ];
        expect(
            &metrics,
            &[
                (OPENED, WAYPOINT, dependents),
                ("narrows_connections_active", WAYPOINT, 3.0),
                (DEPENDENT, &[waypoint, ("source_workload", "inventory")], 20.0),
                ("narrows_connection_failures_total", &ztunnel, 3.0),
            ],
        );
        for proxy in &self.proxies {
            let workload = proxy.pod.workload();
            expect(
                &metrics,
                &[(DEPENDENT, &[waypoint, ("source_workload", &workload)], 4.0)],
            );
        }
        let received = 512.0 * dependents + 3.0 * 300.0;
        expect(&metrics, &[("narrows_received_bytes_total", WAYPOINT, received)]);
    }
}
