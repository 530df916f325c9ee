//! HTTP/1.1: callers keep their connections, and the proxy pools its own. A destination knows from a header who called.

use super::{
    common::v4,
    shop::{CALLERS, DESTINATIONS, Matrix, PROXY, Shop, destination, found, listing, sum, total, wrong},
};
use narrows_testbed::{
    envoy::{Envoy, Listener, Route},
    haproxy::{Frontend, Haproxy, Options},
    workload::Workload,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Requests of a round, all at once; each caller keeps 16 connections.
const REQUESTS: Matrix = [[9, 0, 7], [0, 16, 0], [5, 0, 11], [0, 3, 13]];

fn front() -> SocketAddr {
    v4(PROXY, 15_001)
}

/// A destination that answers requests, and notes who sent the first one on each connection.
struct Website {
    first: Arc<Mutex<[u64; CALLERS.len()]>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Website {
    fn start(who: &Workload, address: SocketAddr) -> Self {
        let listener = who.run(|| TcpListener::bind(address)).expect("it listens");
        listener.set_nonblocking(true).expect("set");
        let (first, stop) = <(Arc<Mutex<_>>, Arc<AtomicBool>)>::default();
        let thread = {
            let (first, stop) = (first.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            stream.set_nonblocking(false).expect("set");
                            let first = first.clone();
                            thread::spawn(move || answer(stream, &first));
                        }
                        Err(_) => thread::sleep(Duration::from_millis(1)),
                    }
                }
            })
        };
        Self {
            first,
            stop,
            thread: Some(thread),
        }
    }

    /// The connections so far, by who sent the first request.
    fn first(&self) -> [u64; CALLERS.len()] {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Website {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Reads the head of a message, and returns the value of a header.
fn head(reader: &mut BufReader<TcpStream>, header: &str) -> Option<String> {
    let mut found = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case(header) => value.clone_into(&mut found),
            None if line.trim_end().is_empty() => return Some(found),
            _ => {}
        }
    }
}

fn answer(stream: TcpStream, first: &Mutex<[u64; CALLERS.len()]>) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = BufReader::new(stream);
    let mut is_first = true;
    while let Some(caller) = head(&mut reader, "x-caller") {
        if std::mem::take(&mut is_first)
            && let Ok(caller) = caller.parse::<usize>()
        {
            first.lock().unwrap_or_else(PoisonError::into_inner)[caller] += 1;
        }
        if writer
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

/// A caller's connection to the proxy.
struct Caller {
    number: usize,
    destination: usize,
    reader: BufReader<TcpStream>,
}

impl Caller {
    fn ask(&mut self) {
        let Self {
            number, destination, ..
        } = self;
        let request = format!("GET /{destination} HTTP/1.1\r\nhost: shop\r\nx-caller: {number}\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes()).expect("sent");
    }

    fn hear(&mut self) {
        head(&mut self.reader, "content-length").expect("a reply");
    }
}

fn callers(shop: &Shop) -> Vec<Caller> {
    let all = shop.callers.iter().zip(REQUESTS).enumerate();
    all.flat_map(|(number, (who, row))| {
        who.run(|| {
            let many = row.into_iter().enumerate();
            let many = many.flat_map(|(destination, times)| (0..times).map(move |_| destination));
            let open = many.map(|destination| {
                let stream = TcpStream::connect(front()).expect("it accepts");
                stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
                Caller {
                    number,
                    destination,
                    reader: BufReader::new(stream),
                }
            });
            open.collect::<Vec<_>>()
        })
    })
    .collect()
}

fn websites(shop: &Shop) -> Vec<Website> {
    let all = shop.destinations.iter().enumerate();
    all.map(|(n, who)| Website::start(who, destination(n))).collect()
}

fn envoy(shop: &Shop, workers: u32) -> Envoy {
    let listener = Listener {
        address: front(),
        route: Route::ByPath((0..DESTINATIONS.len()).map(destination).collect()),
    };
    Envoy::start(&shop.proxy, &[listener], workers).expect("a real Envoy")
}

fn haproxy(shop: &Shop) -> Haproxy {
    let frontend = Frontend {
        address: front(),
        upstreams: (0..DESTINATIONS.len()).map(destination).collect(),
        by_path: true,
    };
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    Haproxy::start(&(&shop.proxy).into(), &[frontend], &options).expect("a real HAProxy")
}

/// Sends the requests, so many at once, and compares what the agent says with what callers and destinations know.
fn expect_requests(shop: &Shop, websites: &[Website], pace: Pace) {
    let Pace { at_once, rounds, .. } = pace;
    let mut open = callers(shop);
    // Neighbours are different callers.
    let mut order: Vec<usize> = (0..open.len()).map(|n| n * 37 % open.len()).collect();
    order.rotate_left(at_once % open.len());
    for _ in 0..rounds {
        for some in order.chunks(at_once) {
            some.iter().for_each(|n| open[*n].ask());
            some.iter().for_each(|n| open[*n].hear());
        }
    }
    drop(open);
    let requests: Matrix = REQUESTS.map(|row| row.map(|n| n * rounds));
    let upstream = [("point", "shop/waypoint"), ("side", "upstream")];
    let metrics = shop.agent().wait_for("all requests", |m| {
        let opened = m.sum("narrows_connections_opened_total", &upstream) as u64;
        sum(m, "narrows_path_turns_total") >= total(&requests) && sum(m, "narrows_path_connections_total") >= opened
    });
    let mut connections = Matrix::default();
    for (destination, website) in websites.iter().enumerate() {
        for (caller, n) in website.first().into_iter().enumerate() {
            connections[caller][destination] = n;
        }
    }
    for (name, expected, bounds) in [
        ("narrows_path_turns_total", &requests, pace.turns),
        ("narrows_path_connections_total", &connections, pace.connections),
    ] {
        let (all, certain) = found(&metrics, name);
        let estimated = total(&all) - total(&certain);
        let (error, text) = (wrong(&all, expected), listing(&metrics));
        eprintln!(
            "{at_once} at once, {name}: {} certain, {estimated} estimated, of which {error} wrong, of {}",
            total(&certain),
            total(expected)
        );
        assert_eq!(sum(&metrics, name), total(expected), "the sum\n{text}");
        assert_eq!(wrong(&certain, expected), 0, "what is certain\n{text}");
        assert!(
            error as f64 <= bounds.wrong * estimated as f64,
            "{error} of {estimated}\n{text}"
        );
        assert!(
            total(&certain) as f64 >= bounds.certain * total(expected) as f64,
            "too little is certain\n{text}"
        );
        if at_once == 1 {
            assert_eq!(&all, expected, "{text}");
        }
    }
    let opened = metrics.sum("narrows_connections_opened_total", &upstream);
    assert_eq!(sum(&metrics, "narrows_path_connections_total"), opened as u64);
}

/// How requests come, and what is expected of the paths then.
#[derive(Clone, Copy)]
struct Pace {
    /// Requests at once.
    at_once: usize,
    rounds: u64,
    turns: Bounds,
    connections: Bounds,
}

/// What the shares of paths must keep to: noise on a busy machine does, and guessing (3 of 4 are wrong then) does not, but for 64
/// requests at once through HAProxy, where the estimate is hardly better.
#[derive(Clone, Copy)]
struct Bounds {
    /// The least share that is certain.
    certain: f64,
    /// The greatest share of what is estimated that has the wrong caller.
    wrong: f64,
}

const fn pace(at_once: usize, rounds: u64, turns: (f64, f64), connections: (f64, f64)) -> Pace {
    const fn bounds((certain, wrong): (f64, f64)) -> Bounds {
        Bounds { certain, wrong }
    }
    Pace {
        at_once,
        rounds,
        turns: bounds(turns),
        connections: bounds(connections),
    }
}

/// With one worker, which may read all four requests before it forwards one, and with four. The bounds are beyond the worst that was
/// seen; connections are few.
const ENVOY: [(u32, [Pace; 3]); 2] = [
    (
        1,
        [
            pace(1, 2, (1.0, 0.0), (1.0, 0.0)),
            pace(4, 10, (0.0, 0.1), (0.0, 0.4)),
            pace(64, 10, (0.0, 0.6), (0.0, 0.3)),
        ],
    ),
    (
        4,
        [
            pace(1, 2, (1.0, 0.0), (1.0, 0.0)),
            pace(4, 10, (0.05, 0.1), (0.0, 0.4)),
            pace(64, 10, (0.0, 0.6), (0.0, 0.3)),
        ],
    ),
];

/// A thread may accept a connection between a read and the connect that follows: then even a single request is estimated, if rightly.
const HAPROXY: [Pace; 3] = [
    pace(1, 2, (0.9, 0.0), (0.9, 0.0)),
    pace(4, 10, (0.05, 0.4), (0.0, 0.5)),
    pace(64, 10, (0.0, 0.75), (0.0, 0.75)),
];

#[test]
fn the_documentation_has_the_bounds() {
    let page = include_str!("../../../docs/definitions.md");
    let [(_, one), (_, four)] = ENVOY;
    for (who, paces) in [
        ("Envoy, one worker", one),
        ("Envoy, four workers", four),
        ("HAProxy", HAPROXY),
    ] {
        for Pace {
            at_once,
            turns,
            connections,
            ..
        } in paces
        {
            let percent = |share: f64| format!("{} %", (share * 1e3).round() / 10.0);
            let [certain, turns, connections] = [turns.certain, turns.wrong, connections.wrong].map(percent);
            let row = format!("| {who}, {at_once} at once | {certain} | {turns} | {connections} |");
            assert!(page.contains(&row), "{row}");
        }
    }
}

#[test]
fn requests_through_envoy_have_their_callers() {
    for (workers, paces) in ENVOY {
        for pace in paces {
            let shop = Shop::new();
            let (websites, _envoy) = (websites(&shop), envoy(&shop, workers));
            shop.agent().settle();
            shop.agent().settle();
            expect_requests(&shop, &websites, pace);
        }
    }
}

#[test]
fn requests_through_haproxy_have_their_callers() {
    for pace in HAPROXY {
        let shop = Shop::new();
        let (websites, _haproxy) = (websites(&shop), haproxy(&shop));
        shop.agent().settle();
        shop.agent().settle();
        expect_requests(&shop, &websites, pace);
    }
}

/// Requests that the proxy answers itself, as it finds nobody at their destination: a failure for each, of its caller.
#[test]
fn requests_that_envoy_finds_nobody_for_are_failures_of_their_callers() {
    const CLOSED: usize = DESTINATIONS.len() - 1;
    for workers in [1, 4] {
        let shop = Shop::new();
        let mut websites = websites(&shop);
        websites.truncate(CLOSED);
        let _envoy = envoy(&shop, workers);
        shop.agent().settle();
        shop.agent().settle();
        for caller in &mut callers(&shop) {
            caller.ask();
            caller.hear();
        }
        let expected: Matrix = REQUESTS.map(|row| [0, 0, row[CLOSED]]);
        let metrics = shop.agent().wait_for("all refusals", |m| {
            sum(m, "narrows_path_failures_total") >= total(&expected)
        });
        let (all, certain) = found(&metrics, "narrows_path_failures_total");
        assert_eq!(all, expected, "{}", listing(&metrics));
        assert_eq!(certain, expected, "{}", listing(&metrics));
    }
}
