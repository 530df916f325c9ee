//! The program `narrows`; what it does is in the library.

use clap::Parser as _;
use narrows::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("narrows: {error:#}");
        ExitCode::FAILURE
    })
}
