//! `narrows drain`: asks a running agent for the instances of points that are to go, and shows what hangs on them.

mod line;

use super::{
    http::{self, AgentAddress, Client, Error},
    output::{is_read, remark},
};
use crate::draining::{Draining, Drains};
use anyhow::Context as _;
use clap::{Args, builder::NonEmptyStringValueParser};
use std::{collections::BTreeMap, process::ExitCode, time::Duration};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What still hangs on instances that are to go, on this node
  narrows drain
  # As it happens, while a waypoint is rolled out
  narrows drain --follow --point shop/waypoint
  # On another node of a cluster, for programs
  kubectl -n narrows exec POD -- narrows drain --json

An instance is to go when its pod is being deleted (terminating), when its pod is of an older revision than another one of the point on \
the node (superseded), or when a process of it no longer listens where a later one does, as after a hot restart or a reload (replaced).

Columns:
  LEFT    the time until the grace of a terminating pod ends
  OPEN    connections that the instance had accepted and that are open, of those when the drain was noticed
  OLDEST  the age that the oldest of them has reached
  CUT     an estimate of how many the end of the grace will cut: as many are taken to end in each second as until now
  WHOSE   the dependents with the most of them";

/// Show instances of points that are to go, and the connections that still hang on them
///
/// Asks a running agent, over http or https, for the shared points of its node. Needs no privileges, and changes nothing.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Show each change as it happens, until Ctrl-C. When the agent becomes unreachable, wait for it and continue
    #[arg(long, short)]
    follow: bool,
    /// Only instances of this point
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = NonEmptyStringValueParser::new())]
    point: Option<String>,
    /// Print each instance as a JSON object on a line of its own, as in the answer of /api/v1/drains
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentAddress,
}

/// The time between two questions to the agent, whose tick is 5 s by default.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows the drains: once, or until SIGINT.
///
/// # Errors
/// When the agent cannot be queried, with a sentence that says what to do.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = options.agent.client()?;
    http::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            shown = show(&client, options) => shown,
            interrupted = interrupted => interrupted.context("cannot handle SIGINT"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, options: &Options) -> anyhow::Result<()> {
    let mut shown = Shown::default();
    let first = ask(client).await?;
    if first.drains.iter().all(|drain| !is_meant(options, drain)) {
        let of = options
            .point
            .as_deref()
            .map_or(String::new(), |point| format!(" of {point}"));
        let then = if options.follow { "; waiting for one" } else { "" };
        remark(format_args!("{client} knows of no instance{of} that is to go{then}"));
    }
    if !shown.update(options, first)? || !options.follow {
        return Ok(());
    }
    let mut is_unreachable = false;
    // Ends by SIGINT, or when nobody reads.
    loop {
        tokio::time::sleep(INTERVAL).await;
        let drains = match ask(client).await {
            Ok(drains) => drains,
            Err(error) => match error.downcast::<Error>() {
                Ok(error @ (Error::Unreachable { .. } | Error::Unavailable { .. })) => {
                    if !std::mem::replace(&mut is_unreachable, true) {
                        remark(format_args!(
                            "{client} is unreachable ({}); waiting for it",
                            error.why()
                        ));
                    }
                    continue;
                }
                Ok(error) => return Err(error.into()),
                Err(other) => return Err(other),
            },
        };
        if std::mem::take(&mut is_unreachable) {
            remark(format_args!("{client} is back"));
        }
        if !shown.update(options, drains)? {
            return Ok(());
        }
    }
}

async fn ask(client: &Client) -> anyhow::Result<Drains> {
    let body = client.get("/api/v1/drains", &[]).await?.ok().await?.whole().await?;
    serde_json::from_slice(&body).map_err(|_| {
        client
            .asked()
            .unexpected("not a list of drains, so it is not an agent of Narrows of this version")
            .into()
    })
}

fn is_meant(options: &Options, drain: &Draining) -> bool {
    options.point.as_deref().is_none_or(|point| drain.point == point)
}

/// What has been shown, by point and instance.
#[derive(Debug, Default)]
struct Shown {
    last: BTreeMap<(String, String), Draining>,
    has_header: bool,
}

impl Shown {
    /// Shows what is new, changed or gone; `false` when nobody reads it.
    fn update(&mut self, options: &Options, now: Drains) -> anyhow::Result<bool> {
        let mut before = std::mem::take(&mut self.last);
        let mut text = String::new();
        for drain in now.drains.into_iter().filter(|drain| is_meant(options, drain)) {
            let key = (drain.point.clone(), drain.instance.clone());
            let last = before.remove(&key);
            if last.is_none_or(|last| is_changed(&last, &drain)) {
                text += &match options.json {
                    true => serde_json::to_string(&drain).context("a drain cannot be written as JSON")? + "\n",
                    false => line::row(&drain),
                };
            }
            self.last.insert(key, drain);
        }
        for gone in before.into_values().filter(|_| !options.json) {
            text += &line::gone(&gone);
        }
        if text.is_empty() {
            return Ok(true);
        }
        if !options.json && !std::mem::replace(&mut self.has_header, true) {
            text = line::header() + &text;
        }
        is_read(text)
    }
}

/// Whether there is something new to show: time alone is not.
fn is_changed(before: &Draining, now: &Draining) -> bool {
    let shown = |drain: &Draining| {
        (
            drain.cause,
            drain.deadline.clone(),
            drain.connections,
            drain.dependents.clone(),
        )
    };
    shown(before) != shown(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passing_of_time_is_no_change() {
        let drain = Draining::example(4);
        let later = Draining {
            seconds_left: Some(60.0),
            cut: Some(2.0),
            ..drain.clone()
        };
        assert!(!is_changed(&drain, &later));
        let fewer = Draining {
            connections: 3,
            ..drain.clone()
        };
        assert!(is_changed(&drain, &fewer));
    }
}
