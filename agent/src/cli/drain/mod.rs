//! `narrows drain`: asks a running agent for the instances of points that are to go, and shows what hangs on them.

mod line;

use super::{
    all_nodes::{AllNodes, Remarks},
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
  # On all nodes, through an agent that knows the others
  narrows drain --follow --all-nodes
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
/// Asks a running agent, over http or https, for the shared points of its node, or of all nodes. Needs no privileges, and changes nothing.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Show each change as it happens, until Ctrl-C. When the agent becomes unreachable, wait for it and continue
    #[arg(long, short)]
    follow: bool,
    /// Only instances of this point
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = NonEmptyStringValueParser::new())]
    point: Option<String>,
    #[command(flatten)]
    all_nodes: AllNodes,
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
    let first = ask(client, options).await?;
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
        let drains = match ask(client, options).await {
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

async fn ask(client: &Client, options: &Options) -> anyhow::Result<Drains> {
    let path = match options.all_nodes.is_set {
        true => "/api/v1/drains?nodes=all",
        false => "/api/v1/drains",
    };
    let body = client.get(path, &[]).await?.ok().await?.whole().await?;
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

/// What has been shown, by node, point and instance.
#[derive(Debug, Default)]
struct Shown {
    last: BTreeMap<(Option<String>, String, String), Draining>,
    has_header: bool,
    remarks: Remarks,
}

impl Shown {
    /// Shows what is new, changed or gone; `false` when nobody reads it.
    fn update(&mut self, options: &Options, now: Drains) -> anyhow::Result<bool> {
        let Drains { drains, nodes, .. } = now;
        self.remarks.say(nodes.as_ref());
        let mut before = std::mem::take(&mut self.last);
        let (mut text, all) = (String::new(), options.all_nodes.is_set);
        for drain in drains.into_iter().filter(|drain| is_meant(options, drain)) {
            let key = (drain.node.clone(), drain.point.clone(), drain.instance.clone());
            let last = before.remove(&key);
            if last.is_none_or(|last| is_changed(&last, &drain)) {
                text += &match options.json {
                    true => serde_json::to_string(&drain).context("a drain cannot be written as JSON")? + "\n",
                    false => line::row(&drain, all),
                };
            }
            self.last.insert(key, drain);
        }
        let has_answered = |node: &Option<String>| match (&nodes, node) {
            (Some(nodes), Some(node)) => nodes.answered.contains(node),
            _ => true,
        };
        for (key, last) in before {
            match has_answered(&key.0) {
                // Nothing is known of it at the moment.
                false => drop(self.last.insert(key, last)),
                true if options.json => {}
                true => text += &line::gone(&last, all),
            }
        }
        if text.is_empty() {
            return Ok(true);
        }
        if !options.json && !std::mem::replace(&mut self.has_header, true) {
            text = line::header(all) + &text;
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
    use crate::fleet::Nodes;

    #[test]
    fn a_drain_of_a_node_that_does_not_answer_is_not_gone() {
        use clap::Parser;
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            options: Options,
        }
        let options = Cli::parse_from(["drain", "--all-nodes"]).options;
        let answer = |drains: Vec<Draining>, answered: &[&str]| Drains {
            tick: 1,
            drains,
            nodes: Some(Nodes {
                answered: answered.iter().map(|&node| node.to_owned()).collect(),
                missing: Vec::new(),
            }),
        };
        let drain = Draining {
            node: Some("b".to_owned()),
            ..Draining::example(4)
        };
        let mut shown = Shown::default();
        shown.update(&options, answer(vec![drain], &["a", "b"])).expect("shown");
        shown.update(&options, answer(Vec::new(), &["a"])).expect("shown");
        assert_eq!(shown.last.len(), 1, "its node has not said so");
        shown.update(&options, answer(Vec::new(), &["a", "b"])).expect("shown");
        assert_eq!(shown.last.len(), 0);
    }

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
