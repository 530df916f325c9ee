//! The page of keys and columns.

use super::{super::sort::Sort, style::Style};
use ratatui::text::Line;

const KEYS: &str = "\
Up/Down, j/k   select a point, or scroll     Enter  everything about the point
PgUp/PgDn      ten at a time                 Esc    back; show all points
Home/End       the first, the last           Tab    dependents or served
/              only points with a text       q      quit";

const COLUMNS: &str = "\
STATE    of the worst of its troubles      RISK   fullest x share that depends
FULLEST  the fullest resource              OPEN   connections it accepted
FAIL/S   by its own sockets | by those of its callers on this node
DEPS     workloads that depend on it       PART   of the point's connections
READ     p99 from arrived to read          SHARE  of the workload's connections
FWD      p99 from read to forwarded        -      not known: Enter says why";

/// The page: at most 20 lines of 80 characters.
pub fn lines(style: Style) -> Vec<Line<'static>> {
    let mut lines = vec![style.heading("KEYS".into())];
    lines.extend(KEYS.lines().map(Line::from));
    lines.push(style.heading("SORT BY  (again: reversed)".into()));
    let sorts: Vec<_> = Sort::ALL
        .iter()
        .map(|sort| format!("{} {:<16}", sort.key(), sort.label()))
        .collect();
    lines.extend(sorts.chunks(4).map(|few| Line::from(few.join(" "))));
    lines.push(style.heading("COLUMNS".into()));
    lines.extend(COLUMNS.lines().map(Line::from));
    lines.push(style.heading("Any key goes back".into()));
    lines
}
