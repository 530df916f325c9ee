//! Measurements of kernel time, throughput, walks and flows.

use super::{
    args::Args,
    load, peer,
    programs::{self, Cost, Statistics},
    report::{Report, median},
};
use anyhow::{Context as _, Result, ensure};
use narrows_testbed::agent::Agent;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

/// The default interval of the agent, in seconds.
pub(crate) const INTERVAL: &str = "5";

/// Starts an agent with default settings.
pub(crate) fn start(agent: &Path) -> Result<Agent> {
    Agent::start(agent, "workloads: []\n", &["--interval", INTERVAL])
}

/// Measures kernel time per short connection with both ends on this node: of the agent's programs, of an empty program on the
/// life-cycle hook, and of tcplife. All are attached at the same time and see the same connections.
pub(crate) fn kernel_time(report: &mut Report, args: &Args, agent: &Path, floor: &[u8]) -> Result<()> {
    println!(
        "kernel time per short connection: {} rounds of {} connections",
        args.rounds, args.connections
    );
    let _statistics = Statistics::on()?;
    let mut owners: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut known: BTreeSet<u32> = programs::costs()?.into_keys().collect();
    let mut claim = |name| -> Result<()> {
        let new: BTreeSet<u32> = programs::costs()?
            .into_keys()
            .filter(|id| !known.contains(id))
            .collect();
        known.extend(&new);
        owners.insert(name, new);
        Ok(())
    };
    let _floor = programs::attach_floor(floor)?;
    claim("empty program")?;
    let _agent = start(agent)?;
    claim("narrows")?;
    let _tcplife = match peer::find() {
        Some(program) => {
            let tcplife = peer::start(&program)?;
            claim("tcplife")?;
            Some(tcplife)
        }
        None => {
            println!("  tcplife is not installed (Debian: libbpf-tools): left out");
            None
        }
    };

    let mut rounds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut runs = 0.0;
    for _ in 0..args.rounds {
        let before = programs::costs()?;
        load::short_connections(args.connections)?;
        let after = programs::costs()?;
        for (name, ids) in &owners {
            // The empty program on context switches is measured elsewhere.
            let ids = ids
                .iter()
                .filter(|id| after.get(id).is_none_or(|(name, _)| name != "sched_switch"));
            let spent = ids.map(|id| difference(&before, &after, *id));
            let per_connection = |n: f64| n / f64::from(args.connections);
            let total = spent.fold(Cost::default(), |sum, cost| sum + cost);
            rounds.entry(name).or_default().push(per_connection(total.nanoseconds));
            if *name == "empty program" {
                runs = per_connection(total.runs as f64);
            }
        }
    }
    let floors = rounds["empty program"].clone();
    for (name, values) in rounds {
        let ratios = values.iter().zip(&floors).map(|(value, floor)| value / floor).collect();
        let note = match name {
            "empty program" => format!("the floor: {runs:.1} runs a connection"),
            _ => format!("{:.2} × the floor", median(ratios)),
        };
        report.add(
            format!("kernel time per connection: {name}"),
            median(values),
            "ns",
            note,
        );
    }
    Ok(())
}

/// The cost of one program between two readings.
pub(crate) fn difference(
    before: &BTreeMap<u32, (String, Cost)>,
    after: &BTreeMap<u32, (String, Cost)>,
    id: u32,
) -> Cost {
    let (Some((name, after)), before) = (
        after.get(&id),
        before.get(&id).map(|(_, cost)| *cost).unwrap_or_default(),
    ) else {
        return Cost::default();
    };
    // Programs that run once per tick are measured separately. The last three are those of earlier builds.
    if matches!(name.as_str(), "walk" | "amend" | "adopt" | "sample" | "collect") {
        return Cost::default();
    }
    Cost {
        runs: after.runs - before.runs,
        nanoseconds: after.nanoseconds - before.nanoseconds,
    }
}

/// Runs `measure` in turns without and with the agent; returns the medians of both and of the ratio.
fn in_turns(args: &Args, agent: &Path, mut measure: impl FnMut() -> Result<f64>) -> Result<(f64, f64, f64)> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    measure()?;
    for _ in 0..args.rounds {
        without.push(measure()?);
        let agent = start(agent)?;
        with.push(measure()?);
        agent.stop().context("the agent did not exit")?;
    }
    let ratios = with
        .iter()
        .zip(&without)
        .map(|(with, without)| with / without)
        .collect();
    Ok((median(without), median(with), median(ratios)))
}

/// Measures short connections per second.
pub(crate) fn connections(report: &mut Report, args: &Args, agent: &Path) -> Result<()> {
    println!(
        "connections per second, without and with the agent: {} rounds",
        args.rounds
    );
    let (without, with, ratio) = in_turns(args, agent, || {
        Ok(f64::from(args.connections) / load::short_connections(args.connections)?.as_secs_f64())
    })?;
    report.add("connections per second: without", without, "1/s", "");
    report.add(
        "connections per second: with",
        with,
        "1/s",
        format!("{ratio:.3} × without"),
    );
    Ok(())
}

/// Measures bytes per second through one connection.
pub(crate) fn bulk(report: &mut Report, args: &Args, agent: &Path) -> Result<()> {
    println!("bulk throughput, without and with the agent: {} rounds", args.rounds);
    let (without, with, ratio) = in_turns(args, agent, || load::bulk(Duration::from_secs(1)))?;
    report.add("bulk throughput: without", without / 1e6, "MB/s", "");
    report.add(
        "bulk throughput: with",
        with / 1e6,
        "MB/s",
        format!("{ratio:.3} × without"),
    );
    Ok(())
}

/// Walks over open files that are measured, and the ticks in which they have to happen.
const WALKS: u64 = 3;
const TICKS: u32 = 240;

/// Measures the time of a walk over open files, per idle open socket, with two numbers of sockets.
pub(crate) fn open_sockets(report: &mut Report, args: &Args, agent: &Path) -> Result<()> {
    for connections in [500, args.open] {
        let sockets = connections * 2;
        println!("sampling {sockets} open sockets");
        let agent = Agent::start(agent, "workloads: []\n", &["--interval", "0.5"])?;
        let open = load::open(connections)?;
        agent.settle();
        let _statistics = Statistics::on()?;
        agent.settle();
        let (before, first) = (agent.metrics(), programs::costs()?);
        let walked = || -> Result<Cost> {
            let walk = |(id, (name, cost)): (u32, (String, Cost))| {
                let before = first.get(&id).map(|(_, cost)| *cost).unwrap_or_default();
                (name == "walk").then_some(Cost {
                    runs: cost.runs - before.runs,
                    nanoseconds: cost.nanoseconds - before.nanoseconds,
                })
            };
            Ok(programs::costs()?
                .into_iter()
                .filter_map(walk)
                .fold(Cost::default(), |sum, cost| sum + cost))
        };
        // Where a walk over all open files takes long, it is not made at every tick.
        let files = u64::from(sockets) * WALKS;
        let mut cost = Cost::default();
        for _ in 0..TICKS {
            agent.settle();
            cost = walked()?;
            if cost.runs >= files {
                break;
            }
        }
        ensure!(
            cost.runs >= files,
            "{} open files were met in {TICKS} ticks, and not {files}",
            cost.runs
        );
        let after = agent.metrics();
        let walks = cost.runs as f64 / f64::from(sockets);
        let tick = (after.sum("narrows_tick_seconds_sum", &[]) - before.sum("narrows_tick_seconds_sum", &[])) / walks;
        report.add(
            format!("sampling: program, {sockets} sockets"),
            cost.nanoseconds / cost.runs as f64,
            "ns/file",
            "all files of the node, nearly all of which are these sockets; with kernel statistics".to_owned(),
        );
        report.add(
            format!("sampling: ticks, {sockets} sockets"),
            tick * 1e3,
            "ms",
            format!(
                "for each walk; {:.0} ns/socket, everything included",
                tick * 1e9 / f64::from(sockets)
            ),
        );
        drop(open);
    }
    Ok(())
}

/// Measures the agent's CPU time under load, and its memory with 10,000 flows.
pub(crate) fn flows(report: &mut Report, agent: &Path) -> Result<()> {
    const PEERS: u32 = 5_000;
    println!("user space: CPU time and memory");
    let agent = start(agent)?;
    let empty = agent.metrics().sum("process_resident_memory_bytes", &[]);
    let (begin, before) = (std::time::Instant::now(), agent.metrics());
    let mut connections = 0_u32;
    while begin.elapsed() < Duration::from_secs(12) {
        load::short_connections(10_000)?;
        connections += 10_000;
    }
    let (seconds, after) = (begin.elapsed().as_secs_f64(), agent.metrics());
    let cpu = after.sum("process_cpu_seconds_total", &[]) - before.sum("process_cpu_seconds_total", &[]);
    report.add(
        "user space: CPU",
        100.0 * cpu / seconds,
        "% of a core",
        format!(
            "at {:.0} connections/s, tick {INTERVAL} s",
            f64::from(connections) / seconds
        ),
    );
    report.add("user space: memory, empty", empty / 1e6, "MB", "resident");
    load::many_peers(PEERS)?;
    let metrics = agent.settle();
    report.add(
        "user space: memory, with flows",
        metrics.sum("process_resident_memory_bytes", &[]) / 1e6,
        "MB",
        format!("resident, {:.0} flows", metrics.sum("narrows_flows", &[])),
    );
    Ok(())
}

/// The peak resident memory of a process, in bytes.
pub(super) fn peak(pid: u32) -> Result<f64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("{file} has no VmHWM"))? * 1024.0)
}
