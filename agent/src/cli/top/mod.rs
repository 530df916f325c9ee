//! `narrows top`: the points of an agent on a terminal, those in trouble first.
//!
//! [`state`] is what is shown, and what keys make of it; [`draw`] draws it; [`screen`] is the loop that reads keys and asks the agent
//! ([`ask`]). The first two do no I/O.

mod ask;
mod columns;
mod detail;
mod draw;
mod ends;
mod screen;
mod sort;
mod state;
mod words;

#[cfg(test)]
mod tests;

use super::{
    all_nodes::{AllNodes, Remarks},
    http::{self, AgentAddress, Client},
    output::{print, remark},
};
use crate::duration;
use clap::Args;
use draw::Style;
use sort::Sort;
use state::State;
use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # The points of this node, those in trouble first
  narrows top
  # Those of all nodes, through an agent that knows the others
  narrows top --all-nodes
  # Those of another node, with an agent behind TLS
  narrows top --agent https://node:9798 --ca-file ca.pem
  # One table, for a pipe or a message
  narrows top --once --sort risk

Keys:
  Up, Down, j, k  select a point; below the points are its dependents and the node's failures
  Enter           everything about the point: saturation by resource, load, delays, failures, dependents, accept queues, drain, \
links to control planes, signals that are missing; Esc goes back
  /               show only points with a text in their name, instance, kind, mesh or state; Esc shows all
  T R S O C F D W N
                  sort by trouble, choke risk, saturation, open connections, connections/s, failures/s, dependents, read delay \
(wait), name; again turns the order round
  Tab             the dependents of the point, or the workloads that are reached through it
  ?, q            help, quit

Columns:
  STATE       the severity of the worst reason: CRITICAL, WARNING, notice, ok
  NODE        with --all-nodes, the node whose agent says all this: the one on which the point runs, if that has answered
  RISK        choke risk: FULLEST times the share of the node's workloads that depend on the point
  FULLEST     the fullest resource, and how full it is
  OPEN        connections that the point has accepted and that are open
  CONN/S      connections that it accepted, per second over the agent's last tick
  FAIL/S p|c  failed connections per second: by the point's own sockets, and by those of its callers on the node. One may be in both
  DEPS        workloads that depend on the point, in the window
  READ p99    the 99th percentile of the time from data arriving to the point reading it, of the worse side; approximate
  FWD p99     the same from reading it to writing it to another socket
  WHY         the worst reason

Where there is less room, columns fall away, the least needed first. A number that is not known is shown as -; Enter says why.";

/// Show the points of a node or of all, those in trouble first, with their dependents and failures, as they change
///
/// Asks a running agent, over http or https, and draws on the terminal until q. When the output is no terminal, it prints one table.
/// Needs no privileges, and changes nothing.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Print one table and end; implied when the output is no terminal
    #[arg(long)]
    once: bool,
    /// Print the answer of /api/v1/points and end; it has up to 1,000 points
    #[arg(long, conflicts_with_all = ["once", "sort", "filter"])]
    json: bool,
    #[command(flatten)]
    all_nodes: AllNodes,
    /// Time between two questions to the agent, from 200ms to 1h; what it answers changes with its ticks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// What to sort by, the greatest first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Only points with this text in their name, instance, kind, mesh, state or node
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// No colours. The variable NO_COLOR, when it is not empty, does the same
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    agent: AgentAddress,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse_or_seconds(text)?;
    let range = Duration::from_millis(200)..=Duration::from_secs(3_600);
    match range.contains(&interval) {
        true => Ok(interval),
        false => Err(format!("{text} is out of range, expected from 200ms to 1h")),
    }
}

/// Shows the points: once, or until `q`.
///
/// # Errors
/// When the agent cannot be queried, with a sentence that says what to do.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = options.agent.client()?;
    let is_terminal = io::stdout().is_terminal();
    http::block_on(async {
        if options.json {
            return json(&client, options.all_nodes.is_set).await;
        }
        let mut state = State::new(options.sort, &options.filter);
        state.all_nodes = options.all_nodes.is_set;
        if options.once || !is_terminal {
            return once(&client, state, is_terminal).await;
        }
        // https://no-color.org
        let is_plain = options.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        screen::run(&client, state, Style { has_colour: !is_plain }, options.interval).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn json(client: &Client, all_nodes: bool) -> anyhow::Result<()> {
    let (body, list) = ask::points(client, all_nodes).await?;
    Remarks::default().say(list.nodes.as_ref());
    print(&body)?;
    print("\n")
}

async fn once(client: &Client, mut state: State, is_terminal: bool) -> anyhow::Result<()> {
    (_, state.list) = ask::points(client, state.all_nodes).await?;
    // In a file or a pipe there is room for everything.
    let width = match is_terminal {
        true => crossterm::terminal::size().ok().map(|(width, _)| width.into()),
        false => None,
    };
    let shown = state.shown();
    let table = columns::Table::new(&shown, width);
    let list = &state.list;
    Remarks::default().say(list.nodes.as_ref());
    if let Some(why) = &list.as_of.tick_error {
        remark(format_args!(
            "the last tick of {client} failed, so this is older: {why}"
        ));
    }
    // A point that several nodes know counts for each there.
    if list.nodes.is_none() && list.points.len() < list.total {
        remark(format_args!(
            "the table has the {} of {} points with the most trouble",
            list.points.len(),
            list.total
        ));
    }
    match (shown.len(), list.total) {
        (0, 0) => remark(format_args!("{client} knows of no point")),
        (0, n) => remark(format_args!(
            "{client} knows of no point with {:?} in it, of {n}",
            state.filter
        )),
        _ => print(table.header + "\n" + &table.rows.join("\n") + "\n")?,
    }
    Ok(())
}
