//! Draws the state. Where there is no colour, words and signs say the same.

mod help;
mod style;

pub use style::Style;

use super::{
    columns::{self, padded},
    detail,
    ends::{self, Ends},
    state::{State, View},
    words::{count, time_of_day},
};
use crate::{
    api::{Point, Severity},
    failures::{Failure, caller_and_called, printable},
    fleet::Nodes,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Text},
    widgets::{Paragraph, Wrap},
};

/// What stands before the selected point, and before the others.
const MARKS: [&str; 2] = ["> ", "  "];

/// The least height that shows more than the points: below it, they get all lines.
const TALL: u16 = 12;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State, style: Style) {
    let area = frame.area();
    if state.has_help {
        return wrapped(frame, area, help::lines(style));
    }
    let below = match area.height {
        0..TALL => 0,
        height => height / 4,
    };
    let [title, middle, workloads, failures, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(if state.view == View::Points { below + 1 } else { 0 }),
        Constraint::Length(below),
        Constraint::Length(1),
    ])
    .areas(area);
    paragraph(frame, title, title_lines(state, style));
    match state.view {
        View::Points => points(frame, middle, state, style),
        View::Detail => everything(frame, middle, state, style),
    }
    paragraph(frame, workloads, workload_lines(state, workloads, style));
    paragraph(frame, failures, failure_lines(state, failures, style));
    paragraph(frame, foot, vec![foot_line(state, style)]);
}

fn paragraph(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
}

/// Long lines go on in the next one.
fn wrapped(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }), area);
}

/// Of which agent and tick the numbers are, and how bad things are.
fn title_lines(state: &State, style: Style) -> Vec<Line<'static>> {
    let as_of = &state.list.as_of;
    let node = match (&state.list.nodes, &as_of.node) {
        (Some(nodes), _) => format!(" of {} nodes", nodes.answered.len()),
        (None, Some(node)) => format!(" of {node}"),
        (None, None) => String::new(),
    };
    let title = format!(
        "narrows top{node}  {} UTC, tick {}{}",
        time_of_day(&as_of.time),
        as_of.tick,
        silent(state.list.nodes.as_ref())
    );
    let wrong = match (&state.away, &as_of.tick_error) {
        (Some(why), _) => Some(format!("NO ANSWER: {why}; what follows is old")),
        (None, Some(why)) => Some(format!("TICK FAILED: {why}; what follows is old")),
        (None, None) => None,
    };
    let second = match wrong {
        Some(wrong) => style.severity(Severity::Critical, printable(&wrong).into_owned()),
        None => Line::from(summary(state)),
    };
    vec![style.heading(printable(&title).into_owned()), second]
}

/// Which nodes have not answered: it goes on where the title ends.
fn silent(nodes: Option<&Nodes>) -> String {
    let missing = nodes.map_or(&[][..], |nodes| &nodes.missing);
    let named = missing
        .iter()
        .map(|missing| format!("{} ({})", missing.name(), missing.error.replace('_', " ")));
    match missing.len() {
        0 => String::new(),
        n => format!("  {n} MISSING: {}", named.collect::<Vec<_>>().join(", ")),
    }
}

fn summary(state: &State) -> String {
    let all = [Severity::Critical, Severity::Warning, Severity::Notice, Severity::Ok];
    let counted = all.map(|severity| {
        let with = state
            .list
            .points
            .iter()
            .filter(|point| point.trouble.severity == severity);
        format!("{} {}", with.count(), columns::severity(severity))
    });
    let total = match &state.list.nodes {
        // There, a point counts for each node that knows it.
        Some(_) => state.list.points.len(),
        None => state.list.total,
    };
    let some = match state.list.points.len() {
        n if n < total || state.list.next.is_some() => format!(" (the first {n} are shown)"),
        _ => String::new(),
    };
    format!("{total} points{some}: {}", counted.join(", "))
}

fn points(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let shown = state.shown();
    let table = columns::Table::new(&shown, Some(usize::from(area.width).saturating_sub(MARKS[0].len())));
    let mut lines = vec![style.heading(format!("{}{}", MARKS[1], table.header))];
    let rows = usize::from(area.height).saturating_sub(1).max(1);
    let selected = state.selected_row();
    // Whole pages, so that lines stay where they are while the selection moves.
    let first = selected.unwrap_or_default() / rows * rows;
    for (at, (point, row)) in shown.iter().zip(table.rows).enumerate().skip(first).take(rows) {
        let is_selected = selected == Some(at);
        let text = format!("{}{row}", MARKS[usize::from(!is_selected)]);
        lines.push(style.row(
            point.trouble.severity,
            is_selected,
            padded(&text, area.width.into(), false),
        ));
    }
    if shown.is_empty() {
        lines.push(Line::from(nothing(state)));
    }
    paragraph(frame, area, lines);
}

/// Why there is no point.
fn nothing(state: &State) -> String {
    match (state.list.total, state.list.as_of.tick) {
        (0, 0) => "  the agent has not ended its first tick".into(),
        (0, _) => "  the agent knows no point: `narrows check` says how points are recognised on its node".into(),
        _ => format!(
            "  none of {} points has {:?} in it; Esc shows all",
            state.list.points.len(),
            state.filter
        ),
    }
}

fn everything(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let name = |point: &Point| {
        let on = point
            .node
            .as_deref()
            .map_or(String::new(), |node| format!(" on {node}"));
        format!("{} {}{on}", point.name.name, point.name.instance)
    };
    let title = state.selected().map(name).unwrap_or_default();
    let mut lines = vec![style.rule(&printable(&title), area.width)];
    match &state.detail {
        None => lines.push(Line::from("waiting for the agent's answer")),
        Some(detail) => {
            let shown = detail::lines(detail, area.width.into()).into_iter().skip(state.scroll);
            lines.extend(shown.map(|line| match line {
                detail::Line::Heading(text) => style.heading(text),
                detail::Line::Text(text) => Line::from(text),
            }));
        }
    }
    wrapped(frame, area, lines);
}

fn workload_lines(state: &State, area: Rect, style: Style) -> Vec<Line<'static>> {
    if area.height == 0 {
        return Vec::new();
    }
    let Some(detail) = &state.detail else {
        let waits = state.selected().map(|_| Line::from("waiting for the agent's answer"));
        return std::iter::once(style.rule("DEPENDENTS", area.width))
            .chain(waits)
            .collect();
    };
    let other = || match state.ends {
        Ends::Dependents if detail.dependents.is_empty() && !detail.served.is_empty() => Ends::Served,
        ends => ends,
    };
    let table = ends::table(detail, other(), area.width.into());
    let mut lines = vec![style.rule(&table.title, area.width)];
    let room = usize::from(area.height).saturating_sub(2);
    match table.rows.len() {
        0 => lines.push(Line::from("none; Tab shows the other side")),
        n => {
            lines.push(style.heading(table.header));
            let hidden = if n > room { n - room.saturating_sub(1) } else { 0 };
            lines.extend(table.rows.into_iter().take(n - hidden).map(Line::from));
            if hidden > 0 {
                lines.push(Line::from(format!("and {hidden} more: Enter shows all")));
            }
        }
    }
    lines
}

fn failure_lines(state: &State, area: Rect, style: Style) -> Vec<Line<'static>> {
    if area.height == 0 {
        return Vec::new();
    }
    let of = match state.view {
        View::Points if state.all_nodes => "of all nodes".to_owned(),
        View::Points => "of this node".to_owned(),
        View::Detail => state
            .selected()
            .map(|point| format!("of {}", point.name.name))
            .unwrap_or_default(),
    };
    let untold = match state.untold {
        0 => String::new(),
        n if state.all_nodes => format!("; {} more were only counted", count(n)),
        n => format!("; {} on the node were only counted", count(n)),
    };
    let mut lines = vec![style.rule(&printable(&format!("FAILURES {of}, newest last{untold}")), area.width)];
    let room = usize::from(area.height).saturating_sub(1);
    let hidden = state.failures.len().saturating_sub(room);
    lines.extend(
        state
            .failures
            .iter()
            .skip(hidden)
            .map(|failure| Line::from(padded(&failure_line(failure), area.width.into(), false))),
    );
    if state.failures.is_empty() {
        lines.push(Line::from("none"));
    }
    lines
}

fn failure_line(failure: &Failure) -> String {
    let (from, to) = caller_and_called(failure);
    let seen_by = failure.vantage.map_or("-", |vantage| vantage.label());
    let node = failure
        .node
        .as_deref()
        .map_or(String::new(), |node| format!("{node}: "));
    let text = format!(
        "{} {node}{:<13} {from} -> {to} (seen by {seen_by})",
        time_of_day(&failure.time),
        failure.reason
    );
    printable(&text).into_owned()
}

fn foot_line(state: &State, style: Style) -> Line<'static> {
    if state.is_typing {
        return style.heading(format!(
            "/{}_   Enter keeps it, Esc shows all",
            printable(&state.filter)
        ));
    }
    let filter = match state.filter.as_str() {
        "" => String::new(),
        filter => format!("/{}  ", printable(filter)),
    };
    let order = if state.is_reversed { ", reversed" } else { "" };
    let sort = format!("by {}{order}", state.sort.label());
    Line::from(match state.view {
        View::Points => format!("{filter}{sort}  Enter:open  /:filter  Tab:served  ?:help  q:quit"),
        View::Detail => "Up/Down:scroll  Esc:back  ?:help  q:quit".into(),
    })
}
