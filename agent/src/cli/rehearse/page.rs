//! Writes a rehearsal.

use super::estimate::{Estimate, Slot};
use crate::{clock, duration};
use serde::Serialize;
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
    /// A restart with each grace.
    pub graces: Vec<Grace>,
}

/// A restart with one grace.
#[derive(Debug, Serialize)]
pub struct Grace {
    /// The time that an instance waits before it ends.
    pub grace: String,
    /// The same in seconds.
    pub seconds: f64,
    /// What it would cut now.
    pub now: Estimate,
    /// What it would have cut in the window.
    pub in_window: Option<InWindow>,
    /// Whose connections these are.
    pub dependents: Vec<Dependent>,
}

/// Restarts at all times of the window.
#[derive(Debug, Serialize)]
pub struct InWindow {
    /// The mean number of connections cut.
    pub mean: f64,
    /// The highest.
    pub most: f64,
    /// The mean according to the lifetimes of connections that have ended; `None` if none has.
    pub by_lifetimes: Option<Estimate>,
    /// The best time; `None` if the point was hardly observed.
    pub fewest: Option<Slot>,
}

/// A dependent of the point.
#[derive(Debug, Serialize)]
pub struct Dependent {
    /// Its name; `_other` stands for all but the ten with the most connections, `unknown` for unknown callers.
    pub name: String,
    /// Its connections that a restart would cut now.
    pub now: f64,
    /// The mean over the window.
    pub mean: Option<f64>,
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
    if let (Some(window), Some(observed)) = (&rehearsal.window, rehearsal.observed) {
        let observed = duration::format(Duration::from_secs(observed as u64 / 60 * 60));
        let _infallible = write!(text, ", last {window} (observed for {observed} of it)");
    }
    text.push_str("\n\nConnections that it cuts:\n\n");
    let mut rows = vec![
        ["GRACE", "NOW", "MEAN", "MOST", "BY LIFETIMES", "FEWEST"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for grace in &rehearsal.graces {
        let mut row = vec![grace.grace.clone(), estimate(grace.now)];
        if let Some(past) = &grace.in_window {
            let lifetimes = past.by_lifetimes.map_or_else(|| "-".into(), estimate);
            row.extend([number(past.mean), number(past.most), lifetimes, best(past.fewest)]);
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
            let mut row = vec![grace.grace.clone(), dependent.name.clone(), number(dependent.now)];
            row.extend(dependent.mean.map(number));
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
    if !has_means {
        text.push_str(
            "\nOnly the present of one node is known to an agent; --prometheus asks for all instances and the last week.\n",
        );
    }
    text
}

/// Exact, or with the numbers that it lies between.
fn estimate(found: Estimate) -> String {
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
    let Some(slot) = slot else { return "-".into() };
    let minute = |seconds: f64| clock::rfc3339((seconds * 1e3) as i64)[..16].replace('T', " ");
    let to = minute(slot.to).split_off(11);
    format!(
        "{} to {to} UTC: {}, at most {}",
        minute(slot.from),
        number(slot.mean),
        number(slot.most)
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

    fn exact(connections: f64) -> Estimate {
        Estimate {
            connections,
            least: connections,
            most: connections,
        }
    }

    fn rehearsal(in_window: Option<InWindow>) -> Rehearsal {
        let mean = in_window.as_ref().map(|_| 290.25);
        Rehearsal {
            written: "2026-11-26T12:00:00.000Z".into(),
            source: "Prometheus at http://127.0.0.1:9090".into(),
            point: "shop/waypoint".into(),
            kind: "waypoint".into(),
            node: None,
            instances: 2,
            window: in_window.as_ref().map(|_| "7d".into()),
            observed: in_window.as_ref().map(|_| 601_234.0),
            graces: vec![Grace {
                grace: "45s".into(),
                seconds: 45.0,
                now: Estimate {
                    connections: 320.4,
                    least: 300.0,
                    most: 412.0,
                },
                in_window,
                dependents: vec![Dependent {
                    name: "shop/checkout".into(),
                    now: 300.0,
                    mean,
                }],
            }],
        }
    }

    #[test]
    fn an_estimate_is_told_from_what_is_exact() {
        assert_eq!(
            text(&rehearsal(Some(InWindow {
                mean: 288.125,
                most: 1204.0,
                by_lifetimes: Some(exact(12.0)),
                fewest: Some(Slot {
                    from: 1_795_665_600.0,
                    to: 1_795_669_200.0,
                    mean: 3.0,
                    most: 12.0
                }),
            }))),
            "A restart of shop/waypoint (waypoint, 2 instances), from Prometheus at http://127.0.0.1:9090, last 7d (observed for 167h \
             of it)\n\nConnections that it cuts:\n\n\
             GRACE  NOW                MEAN  MOST  BY LIFETIMES  FEWEST\n\
             45s    ~320 (300 to 412)  288   1204  12            2026-11-26 04:00 to 05:00 UTC: 3, at most 12\n\n\
             Whose they are:\n\n\
             GRACE  DEPENDENT      NOW  MEAN\n\
             45s    shop/checkout  300  290\n"
        );
        let now = text(&rehearsal(None));
        assert!(now.contains("GRACE  NOW\n45s    ~320 (300 to 412)\n"), "{now}");
        assert!(now.contains("--prometheus asks for all instances"), "{now}");
    }
}
