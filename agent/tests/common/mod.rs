//! A small world for a test, and exact comparisons.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod cluster;
pub mod daemon_set;
pub mod delivery;
pub mod everybody;
pub mod pins;
pub mod processes;

use narrows_testbed::{
    agent::Agent,
    cgroup, command,
    envoy::{Envoy, Listener, Route},
    isolate,
    load::{Behaviour, Server},
    netns::Fabric,
    scrape::Metrics,
    workload::Workload,
};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn},
};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Tests move the whole process between cgroups, so only one may run at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for the right to be the only mesh on this machine.
pub fn turn() -> Turn {
    let here = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Addresses and the agent's counters are those of the whole machine, so other programs of tests wait, too.
    let root = File::open(cgroup::root()).expect("the root of the cgroups");
    let everywhere = Flock::lock(root, FlockArg::LockExclusive).expect("a lock on it");
    Turn {
        _here: here,
        _everywhere: everywhere,
    }
}

/// The right to be the only mesh on this machine.
pub struct Turn {
    _here: MutexGuard<'static, ()>,
    _everywhere: Flock<File>,
}

/// A network and the cgroups of those on it.
pub struct World {
    pub fabric: Fabric,
    pub top: String,
    _turn: Turn,
}

impl World {
    pub fn new() -> Self {
        let turn = turn();
        isolate().expect("these tests need root: they make network namespaces and cgroups");
        let fabric = Fabric::new("fabric").expect("a network");
        fabric.gateway(&["10.90.0.1/24", "fd00:90::1/64"]).expect("a gateway");
        Self {
            fabric,
            top: cgroup::unique("narrows-test"),
            _turn: turn,
        }
    }

    /// Somebody with the addresses 10.90.0.`n` and fd00:90::`n`.
    pub fn workload(&self, name: &str, n: u8) -> Workload {
        let addresses = [format!("10.90.0.{n}/24"), format!("fd00:90::{n:x}/64")];
        Workload::new(&self.fabric, &self.top, name, &[&addresses[0], &addresses[1]]).expect("a workload")
    }
}

/// Where somebody listens.
pub fn v4(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 90, 0, n), port))
}

pub fn v6(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0xfd00, 0x90, 0, 0, 0, 0, 0, u16::from(n)), port))
}

/// An inventory of workloads, all in the namespace `shop`, and of waypoints.
pub fn inventory(workloads: &[&Workload], waypoints: &[&Workload]) -> String {
    let mut text = String::from("trust_domain: cluster.local\nworkloads:\n");
    if workloads.is_empty() {
        text = text.replace("workloads:", "workloads: []");
    }
    let list = |addresses: &[IpAddr]| {
        addresses
            .iter()
            .map(|a| format!("'{a}'"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    for workload in workloads {
        let name = workload.netns.name();
        writeln!(
            text,
            "  - {{ name: {name}, namespace: shop, service_account: {name}, addresses: [{}], netns: {}, cgroup: {} }}",
            list(&workload.addresses),
            workload.netns.path().display(),
            workload.cgroup.path(),
        )
        .expect("written");
    }
    if !waypoints.is_empty() {
        text.push_str("points:\n");
    }
    for point in waypoints {
        writeln!(
            text,
            "  - {{ name: {}, namespace: shop, kind: waypoint, mesh: istio, addresses: [{}], cgroup: {} }}",
            point.netns.name(),
            list(&point.addresses),
            point.cgroup.path(),
        )
        .expect("written");
    }
    text
}

/// The agent that cargo built beside this test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_narrows"))
}

pub fn start(inventory: &str) -> Agent {
    start_with(inventory, &[])
}

pub fn start_with(inventory: &str, arguments: &[&str]) -> Agent {
    Agent::start(binary(), inventory, arguments).expect("the agent starts")
}

/// A server of `catalog`, at 10.90.0.21:8080.
pub fn start_server(catalog: &Workload) -> Server {
    catalog
        .run(|| Server::start(v4(21, 8080), Behaviour::default()))
        .expect("it listens")
}

/// A real Envoy as the waypoint in front of [`start_server`], at 10.90.0.2:15008.
pub fn envoy(waypoint: &Workload, workers: u32) -> Envoy {
    let listener = Listener {
        address: v4(2, 15008),
        route: Route::To(vec![v4(21, 8080)]),
    };
    Envoy::start(waypoint, &[listener], workers).expect("a real Envoy")
}

/// Opens a connection that carries a request and its reply, which are nothing but their lengths; it stays open.
pub fn call(to: SocketAddr) -> io::Result<TcpStream> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[8_u32.to_be_bytes(), 8_u32.to_be_bytes()].concat())?;
    stream.read_exact(&mut [0; 8])?;
    Ok(stream)
}

/// A metric, labels of the series to add up, and what that must give.
pub type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Compares exactly, all rows before it fails.
#[track_caller]
pub fn expect(metrics: &Metrics, rows: &[Row<'_>]) {
    let mut wrong = String::new();
    for (name, labels, expected) in rows {
        let found = metrics.sum(name, labels);
        if (found - expected).abs() > f64::EPSILON * expected.abs() {
            writeln!(wrong, "{name}{labels:?} is {found}, expected {expected}").expect("written");
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{}", metrics.listing("narrows_"));
}

/// Sends a SYN and does not wait.
pub fn begin_to_connect(to: SocketAddr) -> OwnedFd {
    let SocketAddr::V4(to) = to else {
        unreachable!("the tests that need it use IPv4")
    };
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
    let begun = socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to));
    assert_eq!(begun, Err(nix::errno::Errno::EINPROGRESS));
    fd
}

/// A socket that listens with a given backlog.
pub fn listen(to: SocketAddr, backlog: i32) -> OwnedFd {
    let SocketAddr::V4(to) = to else {
        unreachable!("the tests that need it use IPv4")
    };
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    socket::bind(fd.as_raw_fd(), &SockaddrIn::from(to)).expect("bound");
    socket::listen(&fd, Backlog::new(backlog).expect("valid")).expect("it listens");
    fd
}

/// What promtool has against an exposition.
pub fn promtool(exposition: &str) -> Option<String> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    promtool
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut promtool = command::spawn(&mut promtool).expect("promtool is there: `cargo xtask setup` installs it");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(exposition.as_bytes()).expect("written");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success() || !said.is_empty()).then_some(said)
}
