//! Compares two builds of the agent and tcplife, in turns: kernel time per connection, and connections per second.

use super::{
    args::Args,
    measure, peer,
    programs::{self, Cost, Statistics},
    report::{Report, median},
};
use anyhow::{Context as _, Result, ensure};
use narrows_testbed::{
    agent::Agent,
    load::{RapidServer, rapid_connections},
    process::Child,
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Instant,
};

/// The CPUs of both ends.
const CLIENTS: usize = 0;
const SERVERS: usize = 1;

/// Threads of each end: enough to keep its CPU busy.
const THREADS: u32 = 4;

/// The programs that are attached while connections are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Nothing,
    Floor,
    Before,
    After,
    Tcplife,
}

impl Subject {
    const ALL: [Self; 5] = [Self::Nothing, Self::Floor, Self::Before, Self::After, Self::Tcplife];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Floor => "empty program",
            Self::Before => "narrows, before",
            Self::After => "narrows, after",
            Self::Tcplife => "tcplife",
        }
    }
}

/// The running processes or programs of a subject; stopped when the guard is dropped.
enum Running {
    Nothing,
    Agent(Agent),
    Peer(Child),
}

impl Running {
    fn stop(self) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Agent(agent) => drop(agent.stop().context("the agent did not exit")?),
            Self::Peer(mut peer) => drop(peer.stop().context("tcplife did not exit")?),
        }
        Ok(())
    }
}

/// The builds, and the empty programs that they are compared with.
pub(crate) struct Compared<'a> {
    pub(crate) before: &'a Path,
    pub(crate) after: &'a Path,
    pub(crate) floor: &'a [u8],
}

/// The results of the rounds of one subject.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    nanoseconds: Vec<f64>,
    floor: Vec<f64>,
}

/// Measures every subject alone, in an order that rotates with each round. First without the kernel's statistics, which cost time
/// themselves, then with them and together with an empty program, which sees the same connections.
pub(crate) fn measure(report: &mut Report, args: &Args, compared: &Compared<'_>) -> Result<()> {
    println!(
        "before and after: {} rounds of {} connections, client and server on CPUs {CLIENTS} and {SERVERS}",
        args.rounds, args.connections
    );
    ensure!(
        std::thread::available_parallelism().map_or(1, usize::from) > SERVERS,
        "client and server need one CPU each, but this machine has only one"
    );
    let tcplife = peer::install()?;
    // Warm-up: the first connections have cold caches.
    connections(args.connections)?;
    let mut rounds = Subject::ALL.map(|subject| (subject, Rounds::default()));
    let of_all = rounds.len();
    for round in 0..args.rounds as usize {
        for turn in 0..of_all {
            let (subject, seen) = &mut rounds[(round + turn) % of_all];
            once(*subject, seen, args, compared, &tcplife).with_context(|| format!("measuring {}", subject.name()))?;
        }
    }
    show(report, &rounds);
    Ok(())
}

fn once(subject: Subject, seen: &mut Rounds, args: &Args, compared: &Compared<'_>, tcplife: &Path) -> Result<()> {
    let others = loaded()?;
    let mut floor = match subject {
        Subject::Floor => Some(programs::attach_floor(compared.floor)?),
        _ => None,
    };
    let running = match subject {
        Subject::Nothing | Subject::Floor => Running::Nothing,
        Subject::Before => Running::Agent(measure::start(compared.before)?),
        Subject::After => Running::Agent(measure::start(compared.after)?),
        Subject::Tcplife => Running::Peer(peer::start(tcplife)?),
    };
    let own: BTreeSet<u32> = loaded()?.difference(&others).copied().collect();
    seen.per_second.push(connections(args.connections)?);
    if subject == Subject::Nothing {
        return Ok(());
    }
    let known = loaded()?;
    let beside: BTreeSet<u32> = match subject {
        Subject::Floor => own.clone(),
        _ => {
            floor = Some(programs::attach_floor(compared.floor)?);
            loaded()?.difference(&known).copied().collect()
        }
    };
    let statistics = Statistics::on()?;
    let first = programs::costs()?;
    connections(args.connections)?;
    let last = programs::costs()?;
    drop((statistics, floor));
    let spent = |ids: &BTreeSet<u32>| {
        // The empty program on context switches is for another measurement.
        let ids = ids
            .iter()
            .filter(|id| last.get(id).is_some_and(|(name, _)| name != "sched_switch"));
        let total = ids.fold(Cost::default(), |sum, id| sum + measure::difference(&first, &last, *id));
        total.nanoseconds / f64::from(args.connections)
    };
    seen.nanoseconds.push(spent(&own));
    seen.floor.push(spent(&beside));
    running.stop()
}

fn loaded() -> Result<BTreeSet<u32>> {
    Ok(programs::costs()?.into_keys().collect())
}

/// Makes `count` short connections, each with five bytes in each direction. Returns connections per second.
fn connections(count: u32) -> Result<f64> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // The listener is closed at the end of the expression, and the port free again.
    let to = TcpListener::bind(loopback(0))?.local_addr()?;
    let server = RapidServer::start(to, THREADS as usize, SERVERS)?;
    let begin = Instant::now();
    let made = rapid_connections(to, THREADS as usize, u64::from(count.div_ceil(THREADS)), CLIENTS);
    let seconds = begin.elapsed().as_secs_f64();
    let answered = server.stop();
    ensure!(
        answered == made,
        "{made} connections were made, and {answered} answered"
    );
    Ok(made as f64 / seconds)
}

/// Reports both figures of each subject, and their ratios to those of the subjects before it.
fn show(report: &mut Report, rounds: &[(Subject, Rounds)]) {
    let of = |wanted| {
        rounds
            .iter()
            .find(|(subject, _)| *subject == wanted)
            .map(|(_, seen)| seen)
    };
    let compare = |mine: &[f64], others: Option<&Vec<f64>>| {
        let others = others.map_or(&[][..], Vec::as_slice);
        median(mine.iter().zip(others).map(|(mine, other)| mine / other).collect())
    };
    let before = of(Subject::Before);
    for (subject, seen) in rounds.iter().filter(|(subject, _)| *subject != Subject::Nothing) {
        let mut note = format!("{:.2} × the floor", compare(&seen.nanoseconds, Some(&seen.floor)));
        if *subject == Subject::After {
            let ratio = compare(&seen.nanoseconds, before.map(|before| &before.nanoseconds));
            note += &format!(", {ratio:.3} × before");
        }
        let what = format!("kernel time per connection: {}", subject.name());
        report.add(what, median(seen.nanoseconds.clone()), "ns", note);
    }
    let nothing = of(Subject::Nothing);
    for (subject, seen) in rounds {
        let mut note = String::new();
        if *subject != Subject::Nothing {
            let ratio = compare(&seen.per_second, nothing.map(|nothing| &nothing.per_second));
            note = format!("{ratio:.3} × nothing");
        }
        if *subject == Subject::After {
            let ratio = compare(&seen.per_second, before.map(|before| &before.per_second));
            note += &format!(", {ratio:.3} × before");
        }
        let what = format!("connections per second: {}", subject.name());
        report.add(what, median(seen.per_second.clone()), "1/s", note);
    }
}
