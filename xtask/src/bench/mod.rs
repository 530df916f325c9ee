//! `cargo xtask bench`: what the agent costs, as ratios within one run.
//!
//! Machines drift and are shared, so everything that is compared runs at the same time (programs on the same hook) or
//! in turns (with and without the agent), and medians of the ratios are what counts.

mod cluster;
mod compare;
mod dependents;
mod identities;
mod load;
mod measure;
mod peer;
mod points;
mod programs;
mod report;
mod rollout;

use crate::{
    setup::{self, Purpose},
    workspace,
};
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use compare::Compared;
use narrows_testbed::isolate;
use report::Report;
use std::{fs, path::PathBuf};

/// Measure what the agent costs (as root).
///
/// Kernel time per short connection beside empty programs on the same hooks (and beside tcplife where libbpf-tools is
/// installed), connections per second and bulk throughput with and without the agent, the time of a walk per open
/// socket, the agent's processor time and memory, what it costs to keep 5,000 dependents of 200 points, and to know a cluster of
/// 100,000 pods. Prints a table and writes it as JSON under target/bench/.
///
/// With --against, only an earlier build and this one are compared, with nothing, an empty program and tcplife beside them: each by
/// itself, in turns. Kernel time is that of the kernel's statistics; connections per second are measured without them. Client and
/// server are on different processors. tcplife is installed (on Debian: libbpf-tools) when it is missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this; may be given several times
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Compare with an earlier release build of `narrows`, kept somewhere else than where this one is built; measure nothing else
    #[arg(long, value_name = "PATH", conflicts_with = "only")]
    against: Option<PathBuf>,
    /// Short connections in each round
    #[arg(long, default_value_t = 20_000)]
    connections: u32,
    /// Rounds of each comparison; the median counts
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Open connections for the large sampling (two sockets each)
    #[arg(long, default_value_t = 25_000)]
    open: u32,
    /// Only hold so many connections open, until the standard input ends
    #[arg(long, hide = true)]
    hold: Option<u32>,
    /// Which loopback network to hold them in
    #[arg(long, hide = true, default_value_t = 1)]
    island: u8,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kernel time per short connection
    KernelTime,
    /// Kernel time for what is only looked at in points: per connection, per read and write, per context switch
    Points,
    /// Short connections per second
    Connections,
    /// Bytes per second
    Bulk,
    /// The time of a walk over open files per open socket
    OpenSockets,
    /// Processor time and memory with many flows
    Flows,
    /// Series, tick and memory with 200 points and 5,000 dependents
    Dependents,
    /// Processor time and memory with a large cluster
    Identities,
}

/// Builds, measures, prints and writes.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(count) = args.hold {
        return load::hold(count, args.island);
    }
    if !workspace::is_root() {
        bail!("measuring loads kernel programs: run `cargo xtask bench` as root");
    }
    if args.rounds == 0 || args.connections == 0 {
        bail!("--rounds and --connections must be at least 1");
    }
    setup::ensure(Purpose::Build)?;
    workspace::run(workspace::cargo()?.args(["build", "--release", "--package", "narrows"]))?;
    isolate().context("cannot make a private mount namespace")?;
    let target_dir = workspace::target_dir()?;
    let agent = target_dir.join("release/narrows");

    let floor = || {
        fs::read(ebpf_build::object(&target_dir, std::env::consts::ARCH, "floor"))
            .context("cannot read the empty programs")
    };
    let mut report = Report::default();
    if let Some(before) = &args.against {
        let before = fs::canonicalize(before).with_context(|| format!("no earlier build at {}", before.display()))?;
        let compared = Compared {
            before: &before,
            after: &agent,
            floor: &floor()?,
        };
        compare::measure(&mut report, args, &compared)?;
    }
    let parts = Part::value_variants().iter();
    let asked = |part: &&Part| args.only.is_empty() || args.only.contains(part);
    for part in parts.filter(|_| args.against.is_none()).filter(asked) {
        match part {
            Part::KernelTime => measure::kernel_time(&mut report, args, &agent, &floor()?)?,
            Part::Points => points::measure(&mut report, args, &agent, &floor()?)?,
            Part::Connections => measure::connections(&mut report, args, &agent)?,
            Part::Bulk => measure::bulk(&mut report, args, &agent)?,
            Part::OpenSockets => measure::open_sockets(&mut report, args, &agent)?,
            Part::Flows => measure::flows(&mut report, &agent)?,
            Part::Dependents => dependents::measure(&mut report, &agent)?,
            Part::Identities => identities::measure(&mut report, &agent)?,
        }
    }
    print!("\n{}", report.table());
    let file = report.write(&target_dir.join("bench"))?;
    println!("\nalso in {}", file.display());
    Ok(())
}
