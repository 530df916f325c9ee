//! `cargo xtask bench`: measures the cost of the agent, as ratios within one run.
//!
//! The speed of machines varies, and they are shared. So what is compared runs at the same time (programs on the same hook) or
//! in turns (with and without the agent), and the result is the median of the ratios.

mod args;
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
mod rules;

use crate::{
    setup::{self, Purpose},
    workspace,
};
use anyhow::{Context as _, Result, bail};
use args::Part;
use clap::ValueEnum;
use compare::Compared;
use narrows_testbed::isolate;
use report::Report;
use std::fs;

pub(crate) use args::Args;

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
    if args.only != [Part::Rules] {
        workspace::build_agent()?;
    }
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
            Part::Rules => rules::measure(&mut report)?,
        }
    }
    print!("\n{}", report.table());
    let file = report.write(&target_dir.join("bench"))?;
    println!("\nalso in {}", file.display());
    Ok(())
}
