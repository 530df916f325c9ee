//! `cargo xtask demo`: a miniature ambient mesh on this machine, observed by the agent.

mod choke;
mod compare;
mod dashboards;
mod inventory;
mod mesh;
mod page;
mod prometheus;
mod table;
mod tour;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::StyledStr;
use jiff::Timestamp;
use narrows_testbed::agent::Agent;
use narrows_testbed::scrape::Metrics;
use narrows_testbed::signals::Stop;
use narrows_testbed::{isolate, janitor, require_root, tools};

use crate::dashboards::ensure_drawable;
use crate::{duration, workspace};
use mesh::{Mesh, TOP, WAYPOINT_NAME};
use table::Table;
use tour::Tour;

/// The interval at which the table is printed.
const REFRESH: Duration = Duration::from_secs(2);

/// When the waypoint is killed in a demo without a time limit.
const CHAOS_AFTER: Duration = Duration::from_secs(20);

/// Observe a small ambient mesh on this machine: the traffic of its points, their failures, and their dependents.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = mesh_picture())]
pub(crate) struct Args {
    /// End by itself after this long (30s, 2m) and compare what narrows counted with what the load generator did;
    /// without it, Ctrl-C ends the demo the same way
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// Address at which the agent serves /metrics and its API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9797")]
    listen: SocketAddr,

    /// Kill the waypoint after half of the time (after 20 s in a demo without a time limit): the failures appear at its
    /// callers, because it cannot report its own end
    #[arg(long)]
    chaos: bool,

    /// Let a noisy neighbour slowly saturate the shared waypoint while a real Prometheus evaluates the alerts of
    /// deploy/prometheus; says at each step what happens, where to see it on the page and what to run, and at the end when the
    /// alert fired and when the first request of another workload failed; ends by itself after about two minutes
    #[arg(long, conflicts_with_all = ["chaos", "duration", "prometheus"])]
    choke: bool,

    /// Also start a real Prometheus, with the rules and alerts of deploy/prometheus, for dashboards and `narrows report`
    #[arg(long)]
    prometheus: bool,

    /// Draw the page of the agent (page-light.png, page-dark.png, page-small.png, page-point.png, page-flow.png) and the dashboards
    /// of deploy/grafana at the end, as PNG files in this directory; with --choke, the page as it is when the alert fires, and the
    /// dashboards as they are when the first request of another workload fails
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,

    /// Set by the demo itself: the process that creates the mesh, whose parent cleans up after it.
    #[arg(long, hide = true)]
    worker: bool,
}

/// Runs the demo; an error when narrows and the load generator disagree.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.worker {
        return work(args);
    }
    require_root()?;
    if args.pictures.is_some() {
        ensure!(
            args.choke || args.prometheus,
            "--pictures are drawn from a Prometheus: add --choke or --prometheus"
        );
        ensure_drawable()?;
        page::ensure_drawable()?;
    }
    tools::envoy()?;
    workspace::build_agent()?;
    tools::actor()?;
    let mut worker = Command::new(std::env::current_exe()?);
    worker.args(std::env::args_os().skip(1)).arg("--worker");
    let status = janitor::watch(&mut worker, TOP)?;
    match status.code() {
        Some(0) => Ok(()),
        // The worker has printed the reason.
        Some(code) => std::process::exit(code),
        None => bail!("the demo was interrupted ({status}); everything that it created is removed"),
    }
}

/// Runs the mesh and the agent.
fn work(args: &Args) -> Result<()> {
    let stop = Stop::listen()?;
    isolate()?;
    let outcome = watch_mesh(args, &stop);
    // The janitor does this too, unless it was killed.
    janitor::clean(TOP);
    outcome
}

fn watch_mesh(args: &Args, stop: &Stop) -> Result<()> {
    println!("Building the mesh ...");
    let mut mesh = Mesh::build()?;
    println!("Starting narrows ...");
    let binary = tools::target_dir().join("release/narrows");
    let arguments: &[&str] = if args.choke { &["--interval", "1"] } else { &[] };
    let agent = Agent::start_on(&binary, &inventory::text(), args.listen, arguments)?;
    mesh.start_load()?;
    let tour = Tour::new(args.listen);
    if args.choke {
        let choked = choke::run(&mut mesh, &agent, &tour, stop, args.pictures.as_deref());
        return choked.with_context(|| format!("the last of the agent's log:\n{}", last_lines(&agent.stderr(), 15)));
    }
    println!("{}", tour.hints());
    let begin = Instant::now();
    let prometheus = match args.prometheus.then(|| prometheus::start(&agent)).transpose()? {
        Some(prometheus) => {
            println!(
                "Prometheus, with all times of rules and alerts divided by {}:  http://{address}\n  \
                   {} report --prometheus http://{address} --window 1m\n",
                prometheus::HURRY,
                tour.program().display(),
                address = prometheus.address(),
            );
            Some(prometheus)
        }
        None => None,
    };
    let watched = watch_load(args, stop, &mut mesh, &agent);
    watched.with_context(|| format!("the last of the agent's log:\n{}", last_lines(&agent.stderr(), 15)))?;
    if let (Some(prometheus), Some(directory)) = (&prometheus, &args.pictures) {
        page::Pictures::new(&tour, directory)?.draw(&tour.point(WAYPOINT_NAME)?)?;
        dashboards::draw(prometheus, Timestamp::now(), begin.elapsed(), directory)?;
    }
    let shown = prometheus.as_ref().map(dashboards::check).transpose()?;
    mesh.stop_load()?;
    let metrics = agent.try_settle()?;
    let checks = compare::checks(&mesh.tallies()?, &metrics);
    println!("\n{}", compare::render(&checks));
    if let Some(shown) = shown {
        println!("{shown}");
    }
    if let Some(wrong) = checks.iter().find(|check| !check.holds()) {
        bail!("narrows and the load generator disagree: {wrong}");
    }
    Ok(())
}

/// Prints the table until the demo ends.
fn watch_load(args: &Args, stop: &Stop, mesh: &mut Mesh, agent: &Agent) -> Result<()> {
    let start = Instant::now();
    let mut chaos = args.chaos.then(|| args.duration.map_or(CHAOS_AFTER, |whole| whole / 2));
    let mut table = Table::new(Metrics::fetch(agent.address())?);
    loop {
        let left = args
            .duration
            .map_or(Duration::MAX, |whole| whole.saturating_sub(start.elapsed()));
        // The last period includes the remainder, so that none is too short for a rate.
        if left.is_zero() || stop.within(if left < REFRESH * 3 / 2 { left } else { REFRESH })? {
            return Ok(());
        }
        println!("{}", table.next(start.elapsed(), Metrics::fetch(agent.address())?));
        if chaos.is_some_and(|due| start.elapsed() >= due) {
            chaos = None;
            mesh.kill_waypoint()?;
            println!("── The waypoint is killed now (SIGKILL). It reports nothing; its callers are refused. ──\n");
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn mesh_picture() -> StyledStr {
    "\
The mesh, each box in a network namespace and a cgroup of its own:

  shop/checkout ─┐                                                    ┌─ shop/catalog
  shop/cart ─────┤─ ztunnel (a stand-in, in each ─ shop/waypoint ─────┤
  shop/search ───┤  pod's namespace)               (a real Envoy)     └─ shop/orders
  billing/payments                                                       resets every 25th

It needs root, and Envoy from `cargo xtask setup`. It leaves no process, namespace or cgroup behind."
        .into()
}
