//! `narrows failures`: asks a running agent for failed connections, and shows them.

mod answer;
mod follow;
mod follow_all;
mod options;
mod printer;
mod sse;

pub use options::Options;

use super::{
    all_nodes::Remarks,
    http::{self, Client},
    output::remark,
};
use answer::{LIMIT_OF_ALL, understood};
use anyhow::Context as _;
use hyper::header::ACCEPT;
use printer::Printer;
use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// The number of records that are requested: the upper limit of `limits.failure_events`.
const LIMIT: usize = 1_000_000;

/// Shows the failures, until all are shown, on SIGINT, or until the output is closed.
///
/// # Errors
/// When the agent cannot be queried, with a sentence that says what to do.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = options.agent.client()?;
    http::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        let shown = async {
            let mut printer = Printer::new(io::stdout(), options.json, options.all_nodes.is_set);
            let shown = match (options.follow, options.all_nodes.is_set) {
                (true, true) => follow_all::follow(&client, options, &mut printer).await,
                (true, false) => follow::follow(&client, options, &mut printer).await,
                (false, _) => list(&client, options, &mut printer).await,
            };
            match shown {
                // `narrows failures | head`: the reader needs no more.
                Err(error) if is_closed_pipe(&error) => Ok(()),
                shown => shown,
            }
        };
        tokio::select! {
            shown = shown => shown,
            interrupted = interrupted => interrupted.context("cannot handle SIGINT"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

async fn list(client: &Client, options: &Options, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let limit = if options.all_nodes.is_set { LIMIT_OF_ALL } else { LIMIT };
    let path = options.path(&[("limit", limit.to_string())]);
    let answer = client.get(&path, &[(ACCEPT, "application/json".to_owned())]).await?;
    let body = answer.ok().await?.whole().await?;
    let list = understood(client, &body)?;
    Remarks::default().say(list.nodes.as_ref());
    if !list.failures.is_empty() {
        printer.header()?;
    }
    for failure in &list.failures {
        printer.failure(failure.get())?;
    }
    if list.failures.is_empty() {
        let fitting = if options.parameters().is_empty() {
            ""
        } else {
            " of this kind"
        };
        remark(format_args!("{client} knows of no failed connection{fitting}"));
    }
    if list.failures.len() == limit {
        remark(format_args!(
            "these are the newest {limit}, not more; --since, --point and --workload choose among them"
        ));
    }
    let (untold, gone) = (list.dropped.untold(), list.dropped.overwritten);
    if untold > 0 {
        remark(format_args!(
            "{untold} more failures since the agent's start are not listed, as there were too many at a time; the counters of points \
             include them"
        ));
    }
    if gone > 0 {
        remark(format_args!(
            "{gone} older failures were replaced by newer ones; limits.failure_events in the agent's configuration says how many \
             are kept"
        ));
    }
    Ok(())
}
