//! The table of points: columns that fall away, the least needed first, where there is no room.

use super::{
    sort::{forward_delay, read_delay},
    words::{UNKNOWN, count, or_unknown, percent, rate, seconds},
};
use crate::{
    api::{Point, Severity, Vantage},
    failures::printable,
};

/// A column.
struct Column {
    title: &'static str,
    /// The least width, in characters.
    width: usize,
    /// How wide it may grow where there is room.
    widest: usize,
    /// Numbers stand at the right.
    is_number: bool,
    /// Only where the points are those of all nodes.
    is_of_all_nodes: bool,
    /// The higher, the sooner it falls away.
    rank: u8,
    cell: fn(&Point) -> String,
}

/// What may be shown, from left to right.
const COLUMNS: [Column; 16] = [
    column("STATE", 8, 0, |point| severity(point.trouble.severity).into()),
    Column {
        widest: 60,
        ..column("POINT", 20, 1, |point| point.name.name.clone())
    },
    Column {
        widest: 40,
        is_of_all_nodes: true,
        ..column("NODE", 10, 2, |point| point.node.clone().unwrap_or_default())
    },
    number("RISK", 4, 2, |point| or_unknown(point.choke_risk.ratio, percent)),
    column("FULLEST", 17, 3, fullest),
    number("OPEN", 5, 6, |point| {
        load(point, |load| count(load.downstream.open_connections))
    }),
    number("CONN/S", 6, 5, |point| {
        load(point, |load| or_unknown(load.downstream.opened_per_second, rate))
    }),
    number("FAIL/S p|c", 10, 4, failures),
    number("DEPS", 4, 7, |point| count(point.dependents.workloads as u64)),
    number("READ p99", 8, 8, |point| or_unknown(read_delay(point), seconds)),
    number("FWD p99", 7, 9, |point| or_unknown(forward_delay(point), seconds)),
    column("KIND", 17, 11, |point| point.name.kind.label().into()),
    number("SERVED", 6, 12, |point| count(point.served.workloads as u64)),
    Column {
        widest: 60,
        ..column("INSTANCE", 24, 13, |point| point.name.instance.clone())
    },
    column("MESH", 7, 14, |point| point.name.mesh.label().into()),
    Column {
        widest: 200,
        ..column("WHY", 24, 10, why)
    },
];

const fn column(title: &'static str, width: usize, rank: u8, cell: fn(&Point) -> String) -> Column {
    Column {
        title,
        width,
        widest: width,
        is_number: false,
        is_of_all_nodes: false,
        rank,
        cell,
    }
}

const fn number(title: &'static str, width: usize, rank: u8, cell: fn(&Point) -> String) -> Column {
    Column {
        is_number: true,
        ..column(title, width, rank, cell)
    }
}

/// A table, cell by cell padded to the width of its column.
pub struct Table {
    /// The titles.
    pub header: String,
    /// A line for each point, in their order.
    pub rows: Vec<String>,
}

impl Table {
    /// The table of these points: in as many characters a line, or with all columns at the width of their contents.
    pub fn new(points: &[&Point], room: Option<usize>) -> Self {
        let has_nodes = points.iter().any(|point| point.node.is_some());
        let columns = COLUMNS.iter().filter(|column| has_nodes || !column.is_of_all_nodes);
        let columns: Vec<&Column> = columns.collect();
        let cells: Vec<Vec<String>> = points
            .iter()
            .map(|point| {
                columns
                    .iter()
                    .map(|column| printable(&(column.cell)(point)).into_owned())
                    .collect()
            })
            .collect();
        let longest = |at: usize| {
            let lengths = cells.iter().map(|row| row[at].chars().count());
            lengths.max().unwrap_or_default().max(columns[at].title.len())
        };
        let widths: Vec<Option<usize>> = match room {
            Some(room) => fitted(&columns, room, longest),
            None => (0..columns.len()).map(|at| Some(longest(at))).collect(),
        };
        let line = |row: &[String]| {
            let mut text = String::new();
            for ((cell, column), width) in row.iter().zip(&columns).zip(&widths) {
                if let Some(width) = *width {
                    text += &padded(cell, width, column.is_number);
                    text.push(' ');
                }
            }
            text.trim_end().to_owned()
        };
        Self {
            header: line(&columns.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>()),
            rows: cells.iter().map(|row| line(row)).collect(),
        }
    }
}

/// The width of each column that has room: by rank, then what is left to those that can use it, from left to right.
fn fitted(columns: &[&Column], room: usize, longest: impl Fn(usize) -> usize) -> Vec<Option<usize>> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| columns[*at].rank);
    let mut widths = vec![None; columns.len()];
    // The last column needs no space behind it.
    let mut left = room + 1;
    for at in by_rank {
        let column = &columns[at];
        let Some(rest) = left.checked_sub(column.width + 1) else {
            // On a terminal that is narrower than that, the name gets what there is.
            if column.rank == 1 {
                widths[at] = Some(left.saturating_sub(1));
                left = 0;
            }
            continue;
        };
        widths[at] = Some(column.width);
        left = rest;
    }
    for (at, column) in columns.iter().enumerate() {
        if let Some(width) = &mut widths[at] {
            let wider = longest(at).min(column.widest).saturating_sub(*width).min(left);
            *width += wider;
            left -= wider;
        }
    }
    widths
}

/// A text in a column: cut with `…` where it is too long.
pub fn padded(text: &str, width: usize, is_number: bool) -> String {
    let text: String = match text.chars().count() > width {
        true => text
            .chars()
            .take(width.saturating_sub(1))
            .chain((width > 0).then_some('…'))
            .collect(),
        false => text.to_owned(),
    };
    if is_number {
        format!("{text:>width$}")
    } else {
        format!("{text:<width$}")
    }
}

/// A severity as a word that stands out without colour.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Notice => "notice",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

fn load(point: &Point, shown: impl Fn(&crate::api::Load) -> String) -> String {
    or_unknown(point.load.as_ref(), shown)
}

fn fullest(point: &Point) -> String {
    match (&point.saturation.worst_resource, point.saturation.worst_ratio) {
        (Some(resource), Some(ratio)) => format!("{resource} {}", percent(ratio)),
        _ => UNKNOWN.into(),
    }
}

/// By the point's own sockets, and by those of its callers: a failure may be in both, so there is no sum.
fn failures(point: &Point) -> String {
    let shown =
        |vantage: &Option<Vantage>| or_unknown(vantage.as_ref().and_then(|vantage| vantage.failures_per_second), rate);
    format!("{}|{}", shown(&point.failures.point), shown(&point.failures.callers))
}

/// The worst reason; for a point without numbers, why it has none.
fn why(point: &Point) -> String {
    match point.trouble.reasons.first() {
        Some(reason) => reason.text.clone(),
        None => point.choke_risk.missing.clone().unwrap_or_default(),
    }
}
