//! `cargo xtask`: all tasks of this repository, from the set-up of a machine to measurements.
#![forbid(unsafe_code)]

mod bench;
mod circles;
mod dashboards;
mod demo;
mod duration;
mod guests;
mod progress;
mod setup;
mod system;
mod tasks;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use setup::Purpose;

/// Set up, build, show, test and measure Narrows.
///
/// Start with `cargo xtask demo` (as root): it installs what is missing, builds the agent and runs it on a small mesh.
/// Every command prepares what it needs by itself, and prints what it is going to install.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

// The help of each is the comment on its arguments.
#[derive(Subcommand)]
enum Task {
    Setup(setup::Args),
    Build(tasks::build::Args),
    Demo(demo::Args),
    Dashboards(dashboards::Args),
    Test(tasks::test::Args),
    VmTest(vm::Args),
    Lint(tasks::lint::Args),
    Bench(bench::Args),
    Docs(tasks::docs::Args),
    Man(tasks::man::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup(args) => setup::run(&args),
        Task::Build(args) => tasks::build::run(&args),
        Task::Test(args) => tasks::test::run(&args),
        Task::VmTest(args) => vm::run(&args),
        Task::Lint(args) => tasks::lint::run(&args),
        Task::Docs(args) => tasks::docs::run(&args),
        Task::Man(args) => tasks::man::run(&args),
        Task::Demo(args) => {
            setup::ensure(Purpose::Demo)?;
            demo::run(&args)
        }
        Task::Dashboards(args) => dashboards::run(args),
        Task::Bench(args) => bench::run(&args),
    }
}
