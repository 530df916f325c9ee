//! A caller, a point with a real proxy, and what it calls.

use super::common::{World, inventory, start, v4};
use narrows_testbed::{
    agent::Agent,
    envoy::{self, Envoy, Listener, Route},
    haproxy::{self, Frontend, Haproxy},
    load::{Behaviour, Server},
    process::{Child, Placement},
    scrape::Metrics,
    workload::Workload,
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
pub const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];
pub const UP: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "upstream")];
pub const PORT: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];

/// Labels of a few more.
pub fn and<'a>(labels: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [labels, more].concat()
}

/// Watched by an agent.
pub struct Mesh {
    pub agent: Agent,
    pub checkout: Workload,
    pub waypoint: Workload,
    pub catalog: Workload,
    // Goes last: it holds the network, and the turn.
    pub world: World,
}

impl Mesh {
    pub fn new() -> Self {
        let world = World::new();
        let checkout = world.workload("checkout", 11);
        let (waypoint, catalog) = (world.workload("waypoint", 2), world.workload("catalog", 21));
        let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
        Self {
            agent,
            checkout,
            waypoint,
            catalog,
            world,
        }
    }

    /// An Envoy that listens on [`entry`] and calls [`exit`]; the agent knows its threads.
    pub fn envoy(&self, options: &envoy::Options<'_>) -> Envoy {
        self.envoy_at(&Placement::from(&self.waypoint), options)
    }

    pub fn envoy_at(&self, place: &Placement<'_>, options: &envoy::Options<'_>) -> Envoy {
        let listener = Listener {
            address: entry(),
            route: Route::To(vec![exit()]),
        };
        let envoy = Envoy::start_with(place, &[listener], options).expect("a real Envoy");
        self.agent.settle();
        envoy
    }

    /// A HAProxy that does the same.
    pub fn haproxy(&self, options: &haproxy::Options) -> Haproxy {
        let frontend = Frontend {
            address: entry(),
            upstreams: vec![exit()],
            by_path: false,
        };
        let place = Placement::from(&self.waypoint);
        let haproxy = Haproxy::start(&place, &[frontend], options).expect("a real HAProxy");
        self.agent.settle();
        haproxy
    }

    /// What is behind it, and works.
    pub fn server(&self) -> Server {
        self.catalog
            .run(|| Server::start(exit(), Behaviour::default()))
            .expect("it listens")
    }

    pub fn failures(&self, metrics: &Metrics, labels: &[(&str, &str)], reason: &str) -> f64 {
        metrics.sum("narrows_connection_failures_total", &and(labels, &[("reason", reason)]))
    }
}

/// Where the proxy listens.
pub fn entry() -> SocketAddr {
    v4(2, 15008)
}

/// What it calls.
pub fn exit() -> SocketAddr {
    v4(21, 8080)
}

/// Bytes of [`converse`], each way.
pub const REQUEST: u64 = 8;
pub const REPLY: u64 = 10;

/// A small request with its reply, as the testbed's server understands it; then both sides close in order.
pub fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(&[0, 0, 0, REQUEST as u8, 0, 0, 0, REPLY as u8])?;
    stream.read_exact(&mut [0; REPLY as usize])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes until neither kernel nor proxy takes any more for a while.
pub fn write_all_that_fits(stream: &mut TcpStream) {
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set");
    // More than all buffers on the way hold.
    for _ in 0..1024 {
        if stream.write_all(&[b'x'; 65536]).is_err() {
            return;
        }
    }
    panic!("64 MiB were taken");
}

/// Held up for as long as the guard lives.
pub struct Paused<'a>(&'a Child);

impl<'a> Paused<'a> {
    pub fn new(process: &'a Child) -> Self {
        process.pause().expect("it stops");
        Self(process)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let resumed = self.0.resume();
        assert!(resumed.is_ok() || std::thread::panicking(), "{resumed:?}");
    }
}
