//! TCP: each caller reaches each destination at a port of the proxy.

use super::{
    common::v4,
    shop::{DESTINATIONS, Matrix, PROXY, Shop, destination, found, listing, sum, total},
};
use narrows_testbed::{
    envoy::{Envoy, Listener, Route},
    haproxy::{Frontend, Haproxy, Options},
    load::Behaviour,
};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How often each caller calls each destination, all at once: 64 connections.
pub const CONNECTIONS: Matrix = [[9, 0, 7], [0, 16, 0], [5, 0, 11], [0, 3, 13]];

/// How often the connections are opened and closed again.
const ROUNDS: u64 = 5;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the proxy listens for destination `n`.
fn port(n: usize) -> SocketAddr {
    v4(PROXY, 15_001 + u16::try_from(n).expect("small"))
}

/// A proxy for TCP.
#[derive(Clone, Copy)]
pub enum Proxy {
    /// With so many workers.
    Envoy(u32),
    /// With two threads.
    Haproxy,
}

/// A running proxy.
pub enum Running {
    Envoy(#[expect(dead_code, reason = "it runs until it is dropped")] Envoy),
    Haproxy(#[expect(dead_code, reason = "it runs until it is dropped")] Haproxy),
}

impl Proxy {
    /// Starts it, with a port for each destination.
    pub fn start(self, shop: &Shop) -> Running {
        let all = 0..DESTINATIONS.len();
        match self {
            Self::Envoy(workers) => {
                let listeners: Vec<_> = all
                    .map(|n| Listener {
                        address: port(n),
                        route: Route::To(vec![destination(n)]),
                    })
                    .collect();
                Running::Envoy(Envoy::start(&shop.proxy, &listeners, workers).expect("a real Envoy"))
            }
            Self::Haproxy => {
                let frontends: Vec<_> = all
                    .map(|n| Frontend {
                        address: port(n),
                        upstreams: vec![destination(n)],
                        by_path: false,
                    })
                    .collect();
                let options = Options {
                    threads: 2,
                    ..Options::default()
                };
                let started = Haproxy::start(&(&shop.proxy).into(), &frontends, &options);
                Running::Haproxy(started.expect("a real HAProxy"))
            }
        }
    }

    /// Connections of all callers to the last destination, which refuses: the proxy closes them.
    pub fn refused_calls(self, shop: &Shop) {
        let last = DESTINATIONS.len() - 1;
        for mut stream in connect(shop, |destination| destination == last) {
            stream.set_read_timeout(Some(PATIENCE)).expect("set");
            // The end, or a reset.
            assert!(!matches!(stream.read(&mut [0]), Ok(1)));
        }
    }
}

/// All callers open their connections to some destinations.
fn connect(shop: &Shop, is_meant: impl Fn(usize) -> bool + Copy + Send + Sync) -> Vec<TcpStream> {
    let all = shop.callers.iter().zip(CONNECTIONS);
    all.flat_map(|(caller, row)| {
        caller.run(|| {
            let many = row.into_iter().enumerate().filter(|(n, _)| is_meant(*n));
            many.flat_map(|(n, times)| (0..times).map(move |_| TcpStream::connect(port(n)).expect("it accepts")))
                .collect::<Vec<_>>()
        })
    })
    .collect()
}

/// All open their connections; then all send at once, two requests each, and all wait for the replies.
pub fn call_all(shop: &Shop) {
    let mut open = connect(shop, |_| true);
    for _ in 0..2 {
        assert_eq!(ask(&mut open), open.len() as u64);
    }
}

/// All open their connections, send a request each at once, and wait: the number of replies.
pub fn call_all_once(shop: &Shop) -> u64 {
    ask(&mut connect(shop, |_| true))
}

fn ask(open: &mut [TcpStream]) -> u64 {
    for stream in &mut *open {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = [8_u32.to_be_bytes(), 8_u32.to_be_bytes()].concat();
        stream.write_all(&request).expect("sent");
    }
    let replies = open.iter_mut().map(|stream| stream.read_exact(&mut [0; 8]));
    replies.map(|reply| u64::from(reply.is_ok())).sum()
}

fn expect_all(proxy: Proxy) {
    let shop = Shop::new();
    let all = 0..DESTINATIONS.len();
    let _servers: Vec<_> = all.map(|n| shop.serve(n, Behaviour::default())).collect();
    let _proxy = proxy.start(&shop);
    shop.agent().settle();
    shop.agent().settle();
    for _ in 0..ROUNDS {
        call_all(&shop);
    }
    expect_rounds(&shop, ROUNDS);
}

/// After so many calls of [`call_all`] each connection has its caller.
pub fn expect_rounds(shop: &Shop, rounds: u64) {
    let expected: Matrix = CONNECTIONS.map(|row| row.map(|n| n * rounds));
    let metrics = shop.agent().wait_for("all paths", |m| {
        sum(m, "narrows_path_connections_total") >= total(&expected)
            && m.sum("narrows_connections_active", &[("point", "shop/waypoint")]) == 0.0
    });
    let (found, certain) = found(&metrics, "narrows_path_connections_total");
    eprintln!("{} certain of {}", total(&certain), total(&found));
    assert_eq!(found, expected, "{}", listing(&metrics));
    let upstream = [("point", "shop/waypoint"), ("side", "upstream")];
    let opened = metrics.sum("narrows_connections_opened_total", &upstream);
    assert_eq!(sum(&metrics, "narrows_path_connections_total"), opened as u64);
    assert_eq!(metrics.sum("narrows_lost_total", &[("what", "path")]), 0.0);
}

#[test]
fn each_connection_through_envoy_has_its_caller() {
    for workers in [1, 4] {
        expect_all(Proxy::Envoy(workers));
    }
}

#[test]
fn each_connection_through_haproxy_has_its_caller() {
    expect_all(Proxy::Haproxy);
}
