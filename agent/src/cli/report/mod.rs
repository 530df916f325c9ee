//! `narrows report`: where policy is enforced, where traffic is observed, where failures will concentrate; on one page.
//!
//! `source` gets samples of a fixed list of `facts`; `evidence` merges them into one model; `findings` draws conclusions;
//! `courses` asks how full the points that matter most were; `pictures` draws; `page` writes all of it as text, and `controls` lists
//! the controls that they are evidence for. `rehearsals` asks what restarts cut. Only `source`, `courses` and `rehearsals` do I/O.

mod block;
mod compare;
mod controls;
mod courses;
pub mod evidence;
pub mod facts;
mod findings;
mod html;
mod json;
mod links;
mod markdown;
mod page;
pub mod percent;
mod picture_page;
mod pictures;
pub mod point;
mod rehearsals;
mod restarts;
pub mod source;
mod verdict_page;
mod verdicts;

use super::{
    http,
    output::print,
    prometheus::{Origin, window},
};
use anyhow::Context as _;
use clap::{Args, ValueEnum, ValueHint};
use compare::{Changes, Earlier};
use evidence::Evidence;
use facts::{FACTS, RECORDED};
use findings::Findings;
use pictures::Trend;
use source::Source;
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What the agent of this node knows
  narrows report
  # All nodes, the last 24 hours
  narrows report --prometheus http://127.0.0.1:9090
  # The last week as a page for the browser, from a Prometheus that requires a token
  narrows report --prometheus https://mimir --token-file token --window 7d --format html --output a.html
  # For programs, and to compare the next report with
  narrows report --format json --output today.json --compare yesterday.json

Sections: where policy is enforced (workloads, modes, points); where traffic is observed (attribution, blind spots); where failures will \
concentrate (points by dependents without another way out, saturation and missing redundancy); what happens if one of them fails; \
what bypasses policy; and an appendix that maps the figures to controls of NIST CSF 2.0, OWASP NHI Top 10, CSA MAESTRO and NIST AI \
RMF, each with its query. What was not measured is reported as not known.

NARROWS_PROMETHEUS_TOKEN can hold the bearer token for Prometheus itself; --bearer-token-file takes precedence over it.";

/// Report on one page where policy is enforced, where traffic is observed, and where failures will concentrate
///
/// Queries a Prometheus that scrapes the agents, or reads the metrics of a single agent, over http or https. Needs no privileges.
/// Exit code 1 when there is nothing to report on.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Format of the report
    #[arg(long, value_enum, default_value = "markdown", value_name = "FORMAT")]
    format: Format,
    /// How far to look back with --prometheus, from 1m to 365d, e.g. 90s, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = window)]
    window: Duration,
    /// Also report what changed since an earlier report, from its file in JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    compare: Option<PathBuf>,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    origin: Origin,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown, for a terminal or a wiki
    Markdown,
    /// One page for a browser or a printer
    Html,
    /// JSON, for programs
    Json,
}

/// Writes the report.
///
/// # Errors
/// When the source does not answer, or has no data: a report without data would look like one without findings.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let source = Source::of(&options.origin, options.window)?;
    // Before the queries, which take a while, and before the output, which may be the same file.
    let earlier = options.compare.as_deref().map(Earlier::read).transpose()?;
    let (evidence, findings, trend) = http::block_on(ask(&source))?;
    let about = source.about();
    let changes = earlier.map(|earlier| Changes::since(&earlier, &evidence, &findings));
    let page = || page::page(&about, &evidence, &findings, &trend, changes.as_ref());
    let text = match options.format {
        Format::Markdown => markdown::render(&page()),
        Format::Html => html::render(&page()),
        Format::Json => json::render(&about, &evidence, &findings, &trend, changes.as_ref())?,
    };
    match &options.output {
        Some(file) => fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => print(text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for all that a report is made of. Why the trend is not known is no error: all else is known without it, as from an agent that
/// offers its metrics at this address, and not its API.
async fn ask(source: &Source) -> anyhow::Result<(Evidence, Findings, Result<Option<Trend>, String>)> {
    let samples = source.samples(&[FACTS, RECORDED].concat()).await?;
    let mut evidence = Evidence::of(&samples);
    anyhow::ensure!(
        !evidence.is_empty(),
        "{} has nothing to report on: {}",
        source,
        if samples.is_empty() {
            "it has no series of Narrows; check its address, and that it scrapes the agents"
        } else {
            "the agents have observed no enforcement point and no workload yet; try again later"
        }
    );
    evidence.rehearsals = source.rehearsals(&evidence).await;
    let findings = Findings::of(&evidence);
    let trend = source.trend(&evidence, &findings).await;
    Ok((evidence, findings, trend.map_err(|error| format!("{error:#}"))))
}

#[cfg(test)]
mod tests;
