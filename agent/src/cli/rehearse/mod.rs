//! `narrows rehearse`: what a restart of a point would cut, and when it would cut fewest.
//!
//! `ask` gets what is known, `estimate` says what follows from it, `page` writes it. Only `ask` does I/O.

mod ask;
mod estimate;
mod page;

use super::{
    http,
    output::print,
    prometheus::{Origin, Scope, window},
};
use crate::{
    clock,
    duration::{self, format as span},
};
use agent_common::AGE_BOUNDS;
use anyhow::Context as _;
use ask::{Past, Present};
use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use estimate::{Ages, fewest};
use page::{Dependent, Grace, InWindow, Rehearsal};
use std::{collections::BTreeSet, process::ExitCode, time::Duration};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What a restart of the waypoint would cut now, as far as this node's agent sees
  narrows rehearse --point shop/waypoint
  # All its instances, and when in the last week a restart would have cut fewest
  narrows rehearse --point shop/waypoint --prometheus http://127.0.0.1:9090
  # The ztunnel of one node, with three graces
  narrows rehearse --point istio-system/ztunnel --node worker-1 --grace 30s,60s,300s --prometheus http://127.0.0.1:9090

A restart that waits for a grace G before it ends cuts the connections that were opened before it began and are still open at its end: \
those that are then at least G old. The agents count open connections by age, so this is known for every moment of the window, and exact \
for graces of 1s, 5s, 30s, 60s, 2m, 5m, 10m, 1h, 4h and 24h; for others it lies between the numbers of the next ones.

Columns:
  NOW           what a restart that began so long ago would cut now
  MEAN, MOST    the same for restarts at all times of the window (with --prometheus)
  BY LIFETIMES  the mean according to how long the connections lived that ended in the window: rate of new connections × mean of what is \
left of a lifetime beyond the grace. It is less than MEAN where connections outlive the window
  FEWEST        when a restart should have begun to cut fewest, and its mean and most

Connections that their clients or the proxy close during the grace, because the proxy asks them to, are not cut: what is shown is the most \
that a restart cuts of those.";

/// Rehearse a restart: the connections that it would cut at each grace period, whose they are, and the time at which it would cut fewest
///
/// Queries a Prometheus that scrapes the agents, or reads the metrics of a single agent, over http or https. Changes nothing, and needs no
/// privileges. Exit code 1 when the point is not known.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// The point to restart
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = NonEmptyStringValueParser::new())]
    point: String,
    /// Time that the instance waits before it ends, from 1s to 24h; several are separated by commas
    #[arg(long, value_name = "DURATION", default_value = "30s,300s", value_delimiter = ',', value_parser = grace)]
    grace: Vec<Duration>,
    /// With --prometheus: only the instances on this node
    #[arg(long, value_name = "NODE", requires = "prometheus", value_parser = NonEmptyStringValueParser::new())]
    node: Option<String>,
    /// With --prometheus: only those of this cluster (label `cluster`), where there are several
    #[arg(long, value_name = "CLUSTER", requires = "prometheus", value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
    /// How far to look back with --prometheus, from 1m to 365d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = window)]
    window: Duration,
    /// Format of the answer
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    origin: Origin,
}

/// How a rehearsal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for a terminal
    Text,
    /// JSON, for programs
    Json,
}

/// Parses and checks a grace.
fn grace(text: &str) -> Result<Duration, String> {
    let grace = duration::parse(text)?;
    let [least, .., most] = AGE_BOUNDS.map(|bound| Duration::from_secs(bound.into()));
    (least..=most).contains(&grace).then_some(grace).ok_or_else(|| {
        format!(
            "{text:?} is out of range, expected from {} to {}",
            span(least),
            span(most)
        )
    })
}

/// Rehearses a restart.
///
/// # Errors
/// When the source does not answer, or does not know the point.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = options.origin.client()?;
    let scope = Scope {
        point: options.point.clone(),
        node: options.node.clone(),
        cluster: options.cluster.clone(),
    };
    let is_prometheus = options.origin.is_prometheus();
    let (present, past) = http::block_on(async {
        let present = ask::present(&client, &scope, is_prometheus).await?;
        let past = match is_prometheus {
            true => Some(ask::past(&client, &scope, options.window).await?),
            false => None,
        };
        anyhow::Ok((present, past))
    })?;
    let rehearsal = Rehearsal {
        written: clock::rfc3339(clock::now()),
        source: client.to_string(),
        node: scope.node,
        kind: present.kind.clone(),
        instances: present.instances.len(),
        window: past.is_some().then(|| span(options.window)),
        observed: past.as_ref().map(|past| past.course.len() as f64 * past.step),
        graces: (options.grace.iter())
            .map(|grace| rehearse(*grace, &present, past.as_ref(), options.window))
            .collect(),
        point: scope.point,
    };
    print(match options.format {
        Format::Text => page::text(&rehearsal),
        Format::Json => {
            serde_json::to_string_pretty(&rehearsal).context("the rehearsal cannot be written as JSON")? + "\n"
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The most slots that a window is divided into; a slot is an hour at most.
const SLOTS: u32 = 12;

fn rehearse(grace: Duration, present: &Present, past: Option<&Past>, window: Duration) -> Grace {
    let cut = |ages: &Ages| ages.cut(grace).connections;
    let in_window = past.filter(|past| !past.course.is_empty()).map(|past| {
        let course: Vec<_> = past.course.iter().map(|(time, ages)| (*time, cut(ages))).collect();
        let values = || course.iter().map(|(_, n)| *n);
        let slot = (window / SLOTS).min(Duration::from_secs(3_600)).as_secs_f64();
        InWindow {
            mean: values().sum::<f64>() / course.len() as f64,
            most: values().fold(0.0, f64::max),
            by_lifetimes: past.lifetimes.cut(grace),
            fewest: fewest(&course, grace, (past.step, slot.max(past.step))),
        }
    });
    let none = Past::default();
    let means = &past.unwrap_or(&none).dependents;
    let names: BTreeSet<_> = present.dependents.keys().chain(means.keys()).collect();
    let mut dependents: Vec<_> = names
        .into_iter()
        .map(|name| Dependent {
            name: name.clone(),
            now: present.dependents.get(name).map_or(0.0, cut),
            mean: past.map(|_| means.get(name).map_or(0.0, cut)),
        })
        .filter(|dependent| dependent.now > 0.0 || dependent.mean.is_some_and(|mean| mean > 0.0))
        .collect();
    dependents.sort_by(|one, other| {
        (other.now, other.mean)
            .partial_cmp(&(one.now, one.mean))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Grace {
        grace: span(grace),
        seconds: grace.as_secs_f64(),
        now: present.ages.cut(grace),
        in_window,
        dependents,
    }
}
