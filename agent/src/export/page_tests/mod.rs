//! The page in a real browser, before made-up nodes. `agent/tests/page` has it before a real agent.

mod agents;
mod all_nodes;
mod filters;
mod large;
mod missing;
mod parts;
mod small;

use super::{
    api::Fleet,
    http::{Api, Service},
    publish::Publisher,
    server,
    snapshot::Snapshot,
    synthetic::{Shape, snapshot},
};
use crate::{
    clock::Millis,
    failures::Ring,
    metrics::Details,
    points::{Kind, Mesh},
};
use jiff::Timestamp;
use narrows_testbed::browser::Browser;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};

/// A made-up node, served over loopback.
struct Site {
    publisher: Publisher,
    address: SocketAddr,
    ticks: u64,
    begin: Instant,
    serving: JoinHandle<()>,
    runtime: Runtime,
}

impl Site {
    fn new() -> Self {
        Self::with(Fleet::alone("node-1"))
    }

    /// A node among others.
    fn with(fleet: Fleet) -> Self {
        Self::at("127.0.0.1:0", fleet, Duration::from_secs(5))
    }

    /// A node at this address, with ticks so far apart.
    fn at(address: &str, fleet: Fleet, interval: Duration) -> Self {
        let publisher = Publisher::new(interval);
        let service = Service::new(publisher.published().clone(), Arc::new(Ring::new(10, 0)), fleet);
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = service.router(Api::Loopback);
        let serving = runtime.spawn(async move { server::serve(listener, routes, None).await });
        Self {
            publisher,
            address,
            ticks: 0,
            begin: Instant::now(),
            serving,
            runtime,
        }
    }

    /// Another tick, five seconds after the one before. What happened is that of all ticks so far.
    fn tick(&mut self, snapshot: Snapshot) {
        self.tick_of(Timestamp::now().as_millisecond(), snapshot);
    }

    /// Another tick, which read its counters at this time.
    fn tick_of(&mut self, time: Millis, mut snapshot: Snapshot) {
        self.ticks += 1;
        snapshot.tick.number = self.ticks;
        snapshot.tick.time = time;
        let opened = 50 * self.ticks;
        for row in &mut snapshot.points {
            row.load.processes = usize::from(row.load.local);
            row.load.downstream.opened = opened;
            row.window.dependents.workloads = row.dependents.rows.len();
            row.window.served.workloads = row.served.rows.len();
            row.load.upstream.failures = Default::default();
            row.load.downstream.failures = Default::default();
            for endpoint in row.dependents.rows.iter_mut().chain(&mut row.served.rows) {
                endpoint.row.tally.connections = 10 * self.ticks;
            }
        }
        let at = self.begin + Duration::from_secs(5) * u32::try_from(self.ticks).expect("few ticks");
        self.publisher.publish(snapshot, at);
    }

    fn url(&self, of: &str) -> String {
        format!("http://{}/{of}", self.address)
    }

    /// A browser on this part of the page.
    fn visit(&self, of: &str) -> Browser {
        let mut browser = Browser::start(1280, 720).expect("a browser");
        browser.open(&self.url(of)).expect("a page");
        browser
    }

    /// Nothing was asked of anybody else, and the console is empty.
    #[track_caller]
    fn is_all_well(&self, browser: &mut Browser) {
        assert_eq!(browser.problems(), [""; 0]);
        let (here, requests) = (self.url(""), browser.requests());
        assert!(!requests.is_empty());
        let elsewhere: Vec<_> = requests
            .iter()
            .filter(|url| !url.starts_with(&here) && *url != "about:blank")
            .collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }

    /// The agent is gone, and its address free.
    fn end(&mut self) {
        self.serving.abort();
        // Connections that are kept open would go on.
        let runtime = std::mem::replace(&mut self.runtime, Runtime::new().expect("a runtime"));
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
}

/// Six points, one of them on another node.
fn shapes() -> Vec<Shape> {
    let kinds = [Kind::Ztunnel, Kind::Waypoint, Kind::Sidecar, Kind::IngressGateway];
    let shape = |n: usize| Shape {
        name: format!("team-{}/point-{n}", n % 2),
        kind: kinds[n % kinds.len()],
        mesh: Mesh::Istio,
        local: n != 5,
        dependents: 4 + n,
        served: 3,
        ports: 2,
        called: n.is_multiple_of(2),
    };
    (0..6).map(shape).collect()
}

fn quiet() -> Snapshot {
    snapshot(&shapes(), 20, Details::default())
}

/// The identifier of the waypoint.
const WAYPOINT: &str = "istio~waypoint~team-1__point-1~point-1-6f7d9c8b5d-x2x7k";

/// The waypoint drops handshakes.
fn choked() -> Snapshot {
    let mut snapshot = quiet();
    let queue = snapshot.points[1].load.queues.values_mut().next().expect("a queue");
    (queue.utilization, queue.drops) = (0.9, 50);
    snapshot
}
