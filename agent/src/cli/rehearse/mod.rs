//! `narrows rehearse`: what a restart of a point would cut, and when it would cut fewest.
//!
//! `ask` gets what is known, `gaps` says when it is not all, `estimate` what follows from it, `page` writes it. Only `ask` does I/O.

mod ask;
mod estimate;
mod gaps;
mod page;

use super::{
    http::{self, Client},
    output::print,
    prometheus::{Origin, Scope, window},
};
use crate::{
    clock,
    duration::{self, format as span},
};
use agent_common::AGE_BOUNDS;
pub use estimate::Estimate;
pub use page::{Dependent, Grace, InWindow, estimate, hour};

use anyhow::Context as _;
use ask::{Observed, Past, Present};
use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use estimate::{Ages, Restart, fewest};
use page::Rehearsal;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

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
  MEAN, MOST    with --prometheus: restarts of all instances at once, at all times of the window
  MOST OF ONE   the most that a restart of one of the instances would have cut
  BY LIFETIMES  the mean according to how long the connections lived that ended in the window: rate of new connections × mean of what is \
left of a lifetime beyond the grace. It is less than MEAN where connections outlive the window
  FEWEST        when a restart should have begun to cut fewest, and its mean and most; no hour counts in which an instance that was \
there before and after was not observed

`~` marks what is estimated, from the numbers in brackets, between which it lies.

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
    let window = options.origin.is_prometheus().then_some(options.window);
    let known = http::block_on(Known::ask(&client, &scope, window))?;
    let rehearsal = Rehearsal {
        written: clock::rfc3339(clock::now()),
        source: client.to_string(),
        node: scope.node,
        kind: known.present.kind.clone(),
        instances: known.present.instances.len(),
        window: window.map(span),
        observed: known.seconds(|_| true),
        incomplete: known.seconds(|observed| !observed.is_whole),
        useful: known.useful().map(span),
        graces: options.grace.iter().map(|grace| known.rehearse(*grace)).collect(),
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

/// What is known of a point.
pub struct Known {
    present: Present,
    /// With a Prometheus: the window, and what is known of it.
    past: Option<(Duration, Past)>,
}

impl Known {
    /// Asks an agent or, with a window, a Prometheus.
    ///
    /// # Errors
    /// When it does not answer, or does not know the point.
    pub async fn ask(client: &Client, scope: &Scope, window: Option<Duration>) -> anyhow::Result<Self> {
        let present = ask::present(client, scope, window.is_some()).await?;
        let past = match window {
            Some(window) => Some((window, ask::past(client, scope, window).await?)),
            None => None,
        };
        Ok(Self { present, past })
    }

    /// For how much of the window the point was observed in such a way, in seconds.
    fn seconds(&self, such: impl Fn(&Observed) -> bool) -> Option<f64> {
        let (_, past) = self.past.as_ref()?;
        let times = past.course.iter().filter(|observed| such(observed)).count();
        Some(times as f64 * past.step)
    }

    /// The shortest of the counted graces that would nearly always have spared as many connections as the longest one.
    pub fn useful(&self) -> Option<Duration> {
        let past = self.past.iter().flat_map(|(_, past)| &past.course);
        Ages::highest(past.map(|observed| &observed.ages).chain([&self.present.ages])).useful()
    }

    /// A restart with this grace.
    pub fn rehearse(&self, grace: Duration) -> Grace {
        let cut = |ages: &Ages| ages.cut(grace);
        let past = self.past.as_ref().filter(|(_, past)| !past.course.is_empty());
        let in_window = past.map(|(window, past)| {
            let restart = |observed: &Observed| Restart {
                end: observed.time,
                cut: cut(&observed.ages),
                is_whole: observed.is_whole,
            };
            let course: Vec<_> = past.course.iter().map(restart).collect();
            let cuts = || course.iter().map(|restart| restart.cut);
            let slot = (*window / SLOTS).min(Duration::from_secs(3_600)).as_secs_f64();
            InWindow {
                mean: Estimate::mean(cuts()),
                most: Estimate::highest(cuts()),
                most_of_one: cut(&past.most_of_one),
                by_lifetimes: past.lifetimes.cut(grace),
                fewest: fewest(&course, grace, (past.step, slot.max(past.step))),
            }
        });
        Grace {
            grace: span(grace),
            seconds: grace.as_secs_f64(),
            now: cut(&self.present.ages),
            now_of_one: Estimate::highest(self.present.instances.values().map(cut)),
            in_window,
            dependents: self.dependents(grace),
        }
    }

    /// Whose connections a restart cuts, those with the most first.
    fn dependents(&self, grace: Duration) -> Vec<Dependent> {
        let now = &self.present.dependents;
        let means = self.past.as_ref().map(|(_, past)| &past.dependents);
        let names: BTreeSet<_> = now.keys().chain(means.into_iter().flat_map(BTreeMap::keys)).collect();
        let cut = |of: &BTreeMap<String, Ages>, name: &String| of.get(name).copied().unwrap_or_default().cut(grace);
        let dependent = |name: &String| Dependent {
            name: name.clone(),
            now: cut(now, name),
            mean: means.map(|means| cut(means, name)),
        };
        let key = |it: &Dependent| (it.now.connections, it.mean.map_or(0.0, |mean| mean.connections));
        let mut dependents: Vec<_> = (names.into_iter().map(dependent))
            .filter(|dependent| key(dependent) > (0.0, 0.0))
            .collect();
        dependents.sort_by(|one, other| key(other).partial_cmp(&key(one)).unwrap_or(std::cmp::Ordering::Equal));
        dependents
    }
}
