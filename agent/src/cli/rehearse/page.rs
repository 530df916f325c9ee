//! Writes a rehearsal.

use super::estimate::{Estimate, Slot};
use crate::{clock, duration};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, time::Duration};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Rehearsal {
    /// When it was made, in UTC.
    pub written: String,
    /// The service that was asked, and its address.
    pub source: String,
    /// The point.
    pub point: String,
    /// Its kind.
    pub kind: String,
    /// The node, if only instances on it were asked for.
    pub node: Option<String>,
    /// The number of its instances now.
    pub instances: usize,
    /// How far was looked back; `None` with a single agent.
    pub window: Option<String>,
    /// For how much of it the point was observed, in seconds.
    pub observed: Option<f64>,
    /// For how much of that an instance was not observed that was before and after, in seconds.
    pub incomplete: Option<f64>,
    /// The shortest of the counted graces that spares nearly all connections that the longest one would; `None` if no grace helps.
    pub useful: Option<String>,
    /// A restart with each grace.
    pub graces: Vec<Grace>,
}

/// A restart with one grace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grace {
    /// The time that an instance waits before it ends.
    pub grace: String,
    /// The same in seconds.
    pub seconds: f64,
    /// What it would cut now.
    pub now: Estimate,
    /// The most that a restart of one of the instances would cut now.
    pub now_of_one: Estimate,
    /// What it would have cut in the window.
    pub in_window: Option<InWindow>,
    /// Whose connections these are.
    pub dependents: Vec<Dependent>,
}

/// Restarts at all times of the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InWindow {
    /// The mean number of connections cut.
    pub mean: Estimate,
    /// The highest, of all instances at the same time.
    pub most: Estimate,
    /// The highest of one instance.
    pub most_of_one: Estimate,
    /// The mean according to the lifetimes of connections that have ended; `None` if none has.
    pub by_lifetimes: Option<Estimate>,
    /// The best time; `None` if the point was hardly observed.
    pub fewest: Option<Slot>,
}

/// A dependent of the point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dependent {
    /// Its name; `_other` stands for all but the ten with the most connections, `unknown` for unknown callers.
    pub name: String,
    /// Its connections that a restart would cut now.
    pub now: Estimate,
    /// The mean over the window.
    pub mean: Option<Estimate>,
}

/// As tables for a terminal.
pub fn text(rehearsal: &Rehearsal) -> String {
    let Rehearsal { point, kind, .. } = rehearsal;
    let place = match (&rehearsal.node, rehearsal.instances) {
        (Some(node), _) => format!("on node {node}"),
        (None, 1) => "1 instance".to_owned(),
        (None, n) => format!("{n} instances"),
    };
    let mut text = format!("A restart of {point} ({kind}, {place}), from {}", rehearsal.source);
    let minutes = |seconds: f64| duration::format(Duration::from_secs(seconds as u64 / 60 * 60));
    if let (Some(window), Some(observed)) = (&rehearsal.window, rehearsal.observed) {
        let _infallible = write!(text, ", last {window} (observed for {} of it", minutes(observed));
        if let Some(incomplete) = rehearsal.incomplete.filter(|seconds| *seconds > 0.0) {
            let _infallible = write!(text, ", for {} without one of the instances", minutes(incomplete));
        }
        text.push(')');
    }
    text.push_str("\n\nConnections that it cuts:\n\n");
    let mut rows = vec![
        ["GRACE", "NOW", "MEAN", "MOST", "MOST OF ONE", "BY LIFETIMES", "FEWEST"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for grace in &rehearsal.graces {
        let mut row = vec![grace.grace.clone(), estimate(grace.now)];
        if let Some(past) = &grace.in_window {
            let lifetimes = past.by_lifetimes.map_or_else(|| "-".into(), estimate);
            row.extend([past.mean, past.most, past.most_of_one].map(estimate));
            row.extend([lifetimes, best(past.fewest)]);
        }
        rows.push(row);
    }
    if rehearsal.graces.iter().all(|grace| grace.in_window.is_none()) {
        rows[0].truncate(2);
    }
    table(&rows, &mut text);
    let mut rows = vec![vec!["GRACE".to_owned(), "DEPENDENT".to_owned(), "NOW".to_owned()]];
    let has_means = rehearsal.window.is_some();
    if has_means {
        rows[0].push("MEAN".to_owned());
    }
    for grace in &rehearsal.graces {
        for dependent in &grace.dependents {
            let mut row = vec![grace.grace.clone(), dependent.name.clone(), estimate(dependent.now)];
            row.extend(dependent.mean.map(estimate));
            rows.push(row);
        }
    }
    match rows.len() {
        1 => text.push_str("\nIt cuts no connection of a known dependent.\n"),
        _ => {
            text.push_str("\nWhose they are:\n\n");
            table(&rows, &mut text);
        }
    }
    if let Some(useful) = &rehearsal.useful {
        let _infallible = writeln!(
            text,
            "\nA grace of {useful} spares nearly all (95 %) of the connections that one of 24h spares."
        );
    }
    if text.contains('~') {
        text.push_str("\n~ an estimate, with the numbers that it lies between.\n");
    }
    if !has_means {
        text.push_str(
            "\nOnly the present of one node is known to an agent; --prometheus asks for all instances and the last week.\n",
        );
    }
    text
}

/// Exact, or with the numbers that it lies between.
pub fn estimate(found: Estimate) -> String {
    match number(found.least) == number(found.most) {
        true => number(found.connections),
        false => format!(
            "~{} ({} to {})",
            number(found.connections),
            number(found.least),
            number(found.most)
        ),
    }
}

fn best(slot: Option<Slot>) -> String {
    slot.map_or_else(|| "-".into(), hour)
}

/// When it is, and what a restart then cuts.
pub fn hour(slot: Slot) -> String {
    let minute = |seconds: f64| clock::rfc3339((seconds * 1e3) as i64)[..16].replace('T', " ");
    let to = minute(slot.to).split_off(11);
    format!(
        "{} to {to} UTC: {}, at most {}",
        minute(slot.from),
        estimate(slot.mean),
        estimate(slot.most)
    )
}

/// Whole, or with one decimal.
fn number(n: f64) -> String {
    match n.fract() == 0.0 || n >= 100.0 {
        true => format!("{n:.0}"),
        false => format!("{n:.1}"),
    }
}

/// Columns of equal width, two spaces apart.
fn table(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn between(connections: f64, least: f64, most: f64) -> Estimate {
        Estimate {
            connections,
            least,
            most,
        }
    }

    const fn exact(connections: f64) -> Estimate {
        between(connections, connections, connections)
    }

    fn rehearsal(in_window: Option<InWindow>) -> Rehearsal {
        let mean = in_window.as_ref().map(|_| between(290.25, 280.0, 300.0));
        Rehearsal {
            written: "2026-11-26T12:00:00.000Z".into(),
            source: "Prometheus at http://127.0.0.1:9090".into(),
            point: "shop/waypoint".into(),
            kind: "waypoint".into(),
            node: None,
            instances: 2,
            window: in_window.as_ref().map(|_| "7d".into()),
            observed: in_window.as_ref().map(|_| 601_234.0),
            incomplete: in_window.as_ref().map(|_| 600.0),
            useful: Some("5m".into()),
            graces: vec![Grace {
                grace: "45s".into(),
                seconds: 45.0,
                now: between(320.4, 300.0, 412.0),
                now_of_one: between(220.4, 200.0, 212.0),
                in_window,
                dependents: vec![Dependent {
                    name: "shop/checkout".into(),
                    now: exact(300.0),
                    mean,
                }],
            }],
        }
    }

    #[test]
    fn an_estimate_is_told_from_what_is_exact() {
        assert_eq!(
            text(&rehearsal(Some(InWindow {
                mean: between(288.125, 270.0, 300.5),
                most: between(1204.0, 1100.0, 1300.0),
                most_of_one: exact(700.0),
                by_lifetimes: Some(exact(12.0)),
                fewest: Some(Slot {
                    from: 1_795_665_600.0,
                    to: 1_795_669_200.0,
                    mean: between(3.0, 1.0, 4.0),
                    most: exact(12.0)
                }),
            }))),
            "A restart of shop/waypoint (waypoint, 2 instances), from Prometheus at http://127.0.0.1:9090, last 7d (observed for 167h \
             of it, for 10m without one of the instances)\n\nConnections that it cuts:\n\n\
             GRACE  NOW                MEAN               MOST                  MOST OF ONE  BY LIFETIMES  FEWEST\n\
             45s    ~320 (300 to 412)  ~288 (270 to 300)  ~1204 (1100 to 1300)  700          12            \
             2026-11-26 04:00 to 05:00 UTC: ~3 (1 to 4), at most 12\n\n\
             Whose they are:\n\n\
             GRACE  DEPENDENT      NOW  MEAN\n\
             45s    shop/checkout  300  ~290 (280 to 300)\n\n\
             A grace of 5m spares nearly all (95 %) of the connections that one of 24h spares.\n\n\
             ~ an estimate, with the numbers that it lies between.\n"
        );
        let now = text(&rehearsal(None));
        assert!(now.contains("GRACE  NOW\n45s    ~320 (300 to 412)\n"), "{now}");
        assert!(now.contains("--prometheus asks for all instances"), "{now}");
    }
}
