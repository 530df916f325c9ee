//! One line for an instance that is to go.

use crate::{
    clock,
    draining::{Dependent, Draining},
    duration,
};
use std::time::Duration;

/// How many dependents are named.
const NAMED: usize = 3;

const COLUMNS: [(&str, usize); 7] = [
    ("TIME", 8),
    ("POINT", 28),
    ("INSTANCE", 30),
    ("CAUSE", 11),
    ("LEFT", 5),
    ("OPEN", 11),
    ("OLDEST", 6),
];

/// The width of the column of nodes.
const NODE: usize = 24;

/// The names of the columns, with one for the node where they are of `all` nodes.
pub fn header(all: bool) -> String {
    node(all, Some("NODE")) + &padded(&COLUMNS.map(|(name, _)| name.to_owned())) + "CUT    WHOSE\n"
}

/// A line of the table.
pub fn row(drain: &Draining, all: bool) -> String {
    let cut = drain.cut.map_or_else(|| "-".into(), |cut| format!("~{cut:.0}"));
    let left = drain.seconds_left.map_or_else(
        || "-".into(),
        |left| match left > 0.0 {
            true => format!("{left:.0}s"),
            false => "over".into(),
        },
    );
    let cells = [
        time(),
        drain.point.clone(),
        drain.instance.clone(),
        drain.cause.label().into(),
        left,
        format!("{} of {}", drain.connections, drain.first.max(drain.connections)),
        oldest(drain),
    ];
    node(all, drain.node.as_deref()) + &padded(&cells) + &format!("{cut:<6} {}\n", whose(&drain.dependents))
}

/// The line for an instance that no longer is.
pub fn gone(last: &Draining, all: bool) -> String {
    let cells = [time(), last.point.clone(), last.instance.clone(), "gone".into()];
    let end = match last.connections {
        0 => "nothing hung on it any more".to_owned(),
        n => format!(
            "{n} connections hung on it when it was last looked at: {}",
            whose(&last.dependents)
        ),
    };
    node(all, last.node.as_deref()) + &padded(&cells) + &end + "\n"
}

fn node(all: bool, name: Option<&str>) -> String {
    match all {
        true => format!("{:<NODE$} ", name.unwrap_or("-")),
        false => String::new(),
    }
}

fn time() -> String {
    clock::rfc3339(clock::now()).get(11..19).unwrap_or_default().to_owned()
}

/// The age that the oldest connection has reached.
fn oldest(drain: &Draining) -> String {
    let reached = drain.min_age_seconds.iter().rev().find(|(_, n)| **n > 0);
    match (reached, drain.connections) {
        (Some((age, _)), _) => format!("≥ {}", duration::format(Duration::from_secs((*age).into()))),
        (None, 0) => "-".into(),
        (None, _) => "< 1s".into(),
    }
}

fn whose(dependents: &[Dependent]) -> String {
    let name = |dependent: &Dependent| match dependent.namespace.as_str() {
        "" => dependent.name.clone(),
        namespace => format!("{namespace}/{}", dependent.name),
    };
    let with_any = || dependents.iter().filter(|dependent| dependent.connections > 0);
    let named = with_any()
        .take(NAMED)
        .map(|dependent| format!("{} {}", name(dependent), dependent.connections));
    let named: Vec<_> = named.collect();
    match with_any().count().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn padded(cells: &[String]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    cells.map(|(cell, (_, width))| format!("{cell:<width$} ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_an_operator_asks() {
        let text = row(&Draining::example(20), false);
        let words: Vec<_> = text.split_whitespace().skip(1).collect();
        assert_eq!(
            words.join(" "),
            "shop/waypoint waypoint-1 terminating 120s 20 of 40 ≥ 5s ~12 shop/a 9, shop/b 8, shop/c 2 and 1 more"
        );
        let column = header(false).find("CUT").expect("a column");
        assert_eq!(text.chars().skip(column).take(3).collect::<String>(), "~12");
        assert!(gone(&Draining::example(0), false).ends_with("gone        nothing hung on it any more\n"));
        assert!(gone(&Draining::example(20), false).contains("20 connections hung on it"));
        let here = Draining {
            node: Some("node-1".to_owned()),
            ..Draining::example(20)
        };
        assert!(row(&here, true).starts_with("node-1 ") && header(true).starts_with("NODE "));
    }
}
