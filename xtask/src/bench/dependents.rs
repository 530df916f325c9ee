//! The cost of tracking dependents on a large node: 200 points, 5,000 dependents.

use super::{
    measure::{INTERVAL, peak},
    report::{Report, median},
};
use anyhow::{Context as _, Result};
use narrows_testbed::{agent::Agent, cgroup, cgroup::Cgroup, http, scrape::Metrics, wait};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

const POINTS: u16 = 200;

const DEPENDENTS: u16 = 5_000;

/// The number of points that each workload calls.
const WAYS: u16 = 5;

/// The time limit until all connections are counted.
const COUNTED: Duration = Duration::from_secs(60);

/// The number of ticks that are measured.
const TICKS: f64 = 5.0;

/// The number of ticks whose scrapes are measured.
const SCRAPES: usize = 5;

/// What Prometheus asks for.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";

fn point(n: u16) -> Ipv4Addr {
    Ipv4Addr::from(0x7f14_0001 + u32::from(n))
}

fn dependent(n: u16) -> Ipv4Addr {
    Ipv4Addr::from(0x7f28_0001 + u32::from(n))
}

/// Measures series, ticks and memory, in comparison with an agent with the same inventory and no traffic.
pub(crate) fn measure(report: &mut Report, agent: &Path) -> Result<()> {
    println!("dependents: {DEPENDENTS} workloads call {WAYS} of {POINTS} points each");
    let top = cgroup::unique("narrows-bench");
    let cgroups = (0..POINTS).map(|n| Cgroup::new(&format!("{top}/point{n}")));
    let cgroups: Vec<Cgroup> = cgroups.collect::<Result<_>>()?;
    let mut inventory = String::from("workloads:\n");
    for n in 0..DEPENDENTS {
        let address = dependent(n);
        writeln!(
            inventory,
            "  - {{ name: w{n}, namespace: team{}, addresses: [{address}] }}",
            n % 50
        )?;
    }
    inventory.push_str("points:\n");
    for (n, cgroup) in (0..POINTS).zip(&cgroups) {
        let (address, path) = (point(n), cgroup.path());
        writeln!(
            inventory,
            "  - {{ name: p{n}, kind: waypoint, mesh: istio, addresses: [{address}], cgroup: {path} }}"
        )?;
    }
    let agent = Agent::start(agent, &inventory, &["--kubernetes", "off", "--interval", INTERVAL])?;
    let listeners = (0..POINTS).zip(&cgroups);
    let listeners = listeners.map(|(n, cgroup)| Ok(cgroup.enter(|| TcpListener::bind((point(n), 0)))?));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_>>()?;
    let quiet = figures(&agent)?;
    let begin = Instant::now();
    for n in 0..DEPENDENTS {
        for way in 0..WAYS {
            let to = (n * WAYS + way) % POINTS;
            drop(call(dependent(n), &listeners[usize::from(to)])?);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let connections = f64::from(DEPENDENTS) * f64::from(WAYS);
    wait::until("all connections to be counted", COUNTED, || {
        let metrics = Metrics::fetch(agent.address()).ok()?;
        (metrics.sum("narrows_dependent_connections_total", &[]) == connections).then_some(())
    })?;
    let busy = figures(&agent)?;
    println!("dependents: {connections} connections in {seconds:.1} s");
    let of = |value: f64, quiet: f64| format!("{quiet:.1} without traffic; {value:.1} with");
    report.add("dependents: series", busy.series, "", of(busy.series, quiet.series));
    report.add(
        "dependents: a tick",
        busy.tick * 1e3,
        "ms",
        of(busy.tick * 1e3, quiet.tick * 1e3),
    );
    report.add(
        "dependents: memory",
        busy.memory / 1e6,
        "MB",
        of(busy.memory / 1e6, quiet.memory / 1e6),
    );
    scrapes(report, &agent)?;
    agent.stop().context("the agent did not exit")?;
    Ok(())
}

/// What a scrape costs, for clients that take gzip (as Prometheus does) and for others: the first one after a tick, for which the
/// agent encodes, and another one of the same tick.
fn scrapes(report: &mut Report, agent: &Agent) -> Result<()> {
    let before = peak(agent.pid())?;
    let gzip = Scrape::measure(agent, || {
        Ok(http::get_gzip(agent.address(), "/metrics", OPENMETRICS)?.body)
    })?;
    let after = peak(agent.pid())?;
    gzip.tell(report, "gzip");
    let plain = Scrape::measure(agent, || {
        Ok(http::get(agent.address(), "/metrics", OPENMETRICS)?.body.into_bytes())
    })?;
    plain.tell(report, "plain");
    report.add("dependents: gzip, of plain", gzip.bytes / plain.bytes, "", "bytes");
    report.add(
        "dependents: peak memory, gzip",
        after / 1e6,
        "MB",
        format!("{:.1} MB before", before / 1e6),
    );
    let last = peak(agent.pid())?;
    report.add("dependents: peak memory, plain", last / 1e6, "MB", "then without gzip");
    Ok(())
}

/// The cost of a scrape: medians.
struct Scrape {
    bytes: f64,
    first: f64,
    again: f64,
}

impl Scrape {
    fn measure(agent: &Agent, scrape: impl Fn() -> Result<Vec<u8>>) -> Result<Self> {
        let ticks = || agent.get_json("/api/v1/status")["ticks"].as_u64();
        let timed = || -> Result<(f64, usize)> {
            let begin = Instant::now();
            let bytes = scrape()?.len();
            Ok((begin.elapsed().as_secs_f64(), bytes))
        };
        let (mut bytes, mut first, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SCRAPES {
            let now = ticks();
            wait::until("the next tick", COUNTED, || (ticks() != now).then_some(()))?;
            let (one, other) = (timed()?, timed()?);
            first.push(one.0);
            again.push(other.0);
            bytes.push(one.1 as f64);
        }
        Ok(Self {
            bytes: median(bytes),
            first: median(first),
            again: median(again),
        })
    }

    fn tell(&self, report: &mut Report, form: &str) {
        report.add(format!("dependents: scrape, {form}"), self.bytes / 1e6, "MB", "median");
        report.add(
            format!("dependents: scrape, {form}, first"),
            self.first * 1e3,
            "ms",
            "after a tick: encoded",
        );
        report.add(
            format!("dependents: scrape, {form}, again"),
            self.again * 1e3,
            "ms",
            "in the same tick",
        );
    }
}

struct Figures {
    series: f64,
    tick: f64,
    memory: f64,
}

fn figures(agent: &Agent) -> Result<Figures> {
    let before = agent.settle();
    let ticks = |metrics: &Metrics| metrics.sum("narrows_tick_seconds_count", &[]);
    let after = agent.wait_for("some ticks", |m| ticks(m) >= ticks(&before) + TICKS);
    let spent = |metrics: &Metrics| metrics.sum("narrows_tick_seconds_sum", &[]);
    let text = http::get(agent.address(), "/metrics", "*/*")?.body;
    Ok(Figures {
        series: text.lines().filter(|line| !line.starts_with('#')).count() as f64,
        tick: (spent(&after) - spent(&before)) / (ticks(&after) - ticks(&before)),
        memory: after.sum("process_resident_memory_bytes", &[]),
    })
}

/// Opens a connection from one of the loopback's addresses and returns it; the other end is closed here.
fn call(from: Ipv4Addr, listener: &TcpListener) -> Result<OwnedFd> {
    let std::net::SocketAddr::V4(to) = listener.local_addr()? else {
        unreachable!("the listener was bound to IPv4")
    };
    let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(client.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(client.as_raw_fd(), &SockaddrIn::from(to)).context("a loopback connection")?;
    drop(listener.accept()?);
    Ok(client)
}
