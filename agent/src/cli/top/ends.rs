//! The workloads on one side of a point, as a table.

use super::{
    columns::padded,
    words::{bytes, count, or_unknown, percent, rate},
};
use crate::{
    api::{Counts, PointDetail, Traffic},
    failures::printable,
};

/// The workloads on one side of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// Those that depend on it; those that it serves, if there are none.
    #[default]
    Dependents,
    /// Those that are reached through it.
    Served,
}

/// A width that is never too narrow.
pub const WIDE: usize = 100;

/// The width of the numbers.
const NUMBERS: usize = 46;

/// The workloads on one side.
#[derive(Debug)]
pub struct Table {
    /// What it shows, with how many there are.
    pub title: String,
    /// The titles of its columns.
    pub header: String,
    /// A line for each workload, those with the most connections first, then the sums.
    pub rows: Vec<String>,
}

/// The table of one side, in as many characters a line.
pub fn table(detail: &PointDetail, ends: Ends, room: usize) -> Table {
    let (word, listed, rest, counts) = match ends {
        Ends::Dependents => (
            "DEPENDENTS",
            &detail.dependents,
            &detail.dependents_rest,
            detail.point.dependents,
        ),
        Ends::Served => ("SERVED", &detail.served, &detail.served_rest, detail.point.served),
    };
    let width = room.saturating_sub(NUMBERS).clamp(14, 48);
    let workloads = listed.iter().map(|end| {
        let name = format!("{}/{}", end.workload.namespace, end.workload.name);
        row(&name, &end.traffic, width)
    });
    let sums = rest.iter().map(|rest| row(&rest.name, &rest.traffic, width));
    let Counts {
        workloads: n,
        namespaces,
        ..
    } = counts;
    Table {
        title: format!(
            "{word} of {} in the window: {n}, in {namespaces} namespaces",
            printable(&detail.point.name.name)
        ),
        header: format!("{:<width$} PART  SHARE    OPEN CONN/S  FAILED      BYTES", "WORKLOAD"),
        rows: workloads.chain(sums).collect(),
    }
}

fn row(name: &str, traffic: &Traffic, width: usize) -> String {
    format!(
        "{} {:>4} {:>6} {:>7} {:>6} {:>7} {:>10}",
        padded(&printable(name), width, false),
        or_unknown(traffic.part_ratio, percent),
        or_unknown(traffic.share_ratio, percent),
        count(traffic.open_connections),
        or_unknown(traffic.opened_per_second, rate),
        count(traffic.failures_total),
        bytes(traffic.bytes_total as f64),
    )
}
