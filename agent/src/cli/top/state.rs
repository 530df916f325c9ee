//! What `narrows top` shows, and what keys make of it: without a terminal, and without asking anybody.

use super::{
    detail,
    ends::{self, Ends},
    sort::Sort,
};
use crate::{
    api::{Point, PointDetail, PointList},
    failures::{Failure, List},
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::VecDeque;

/// How many failures are kept to be shown.
const KEPT: usize = 200;

/// How many lines `Page Up` and `Page Down` move.
const PAGE: usize = 10;

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// All points, with the dependents of the selected one.
    #[default]
    Points,
    /// Everything about the selected one.
    Detail,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Only what is shown may have changed.
    Draw,
    /// Other answers are needed than before.
    Ask,
    /// The end.
    Quit,
}

/// What is to be asked of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The point whose detail is shown.
    pub detail: Option<Selected>,
    /// The name of the point whose failures are shown; of all when `None`.
    pub failures_of: Option<String>,
    /// The run of the agent and the number of the first failure that is not known.
    pub from: Option<(i64, u64)>,
    /// Whether all of it is to be that of all nodes.
    pub all_nodes: bool,
}

/// A point, as one agent tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Its identifier.
    pub id: String,
    /// The node of that agent; `None` when only the one that is asked tells of its own.
    pub node: Option<String>,
}

impl Selected {
    fn of(point: &Point) -> Self {
        Self {
            id: point.name.id.clone(),
            node: point.node.clone(),
        }
    }

    fn is(&self, point: &Point) -> bool {
        point.name.id == self.id && point.node == self.node
    }
}

/// What the agent answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The points.
    pub list: PointList,
    /// The wanted detail; `None` when the agent does not know the point any more.
    pub detail: Option<PointDetail>,
    /// The failures since those that are known.
    pub failures: Option<List>,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct State {
    /// The last list of points.
    pub list: PointList,
    /// Everything about the selected point; `None` until it is answered.
    pub detail: Option<PointDetail>,
    /// The newest failures, of all points or of the one whose detail is shown; the newest last.
    pub failures: VecDeque<Failure>,
    /// Failures that were not told one by one, since the start of the agent, or of the agents.
    pub untold: u64,
    /// What is looked at.
    pub view: View,
    /// Which workloads are shown below the points.
    pub ends: Ends,
    /// The order of points.
    pub sort: Sort,
    /// Whether that order is turned round.
    pub is_reversed: bool,
    /// What names have to contain.
    pub filter: String,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// Whether the keys are explained.
    pub has_help: bool,
    /// The first line of the detail that is shown.
    pub scroll: usize,
    /// Whether the points are those of all nodes.
    pub all_nodes: bool,
    /// Why the agent did not answer last time; then all else is as it was before.
    pub away: Option<String>,
    selected: Option<Selected>,
    position: Option<(i64, u64)>,
}

impl State {
    /// Nothing yet.
    pub fn new(sort: Sort, filter: &str) -> Self {
        Self {
            sort,
            filter: filter.to_owned(),
            ..Self::default()
        }
    }

    /// The points that pass the filter, in order.
    pub fn shown(&self) -> Vec<&Point> {
        let filter = self.filter.to_lowercase();
        let mut shown: Vec<_> = self.list.points.iter().filter(|point| passes(point, &filter)).collect();
        shown.sort_by(|one, other| self.sort.compare(one, other));
        if self.is_reversed {
            shown.reverse();
        }
        shown
    }

    /// Where the selected point stands among those that are shown.
    pub fn selected_row(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.shown().iter().position(|point| selected.is(point))
    }

    /// The selected point.
    pub fn selected(&self) -> Option<&Point> {
        let selected = self.selected.as_ref()?;
        self.list.points.iter().find(|point| selected.is(point))
    }

    /// What is to be asked for next.
    pub fn wanted(&self) -> Wanted {
        let of = match self.view {
            View::Points => None,
            View::Detail => self.selected().map(|point| point.name.name.clone()),
        };
        Wanted {
            detail: self.selected.clone(),
            failures_of: of,
            from: self.position,
            all_nodes: self.all_nodes,
        }
    }

    /// Takes what was answered; whether more is to be asked for, as another point is selected now.
    pub fn answered(&mut self, answers: Answers) -> bool {
        self.away = None;
        let row = self.selected_row().unwrap_or_default();
        self.list = answers.list;
        let is_of_selected = |detail: &PointDetail| {
            self.selected
                .as_ref()
                .is_some_and(|selected| selected.is(&detail.point))
        };
        self.detail = answers.detail.filter(is_of_selected);
        if let Some(list) = answers.failures {
            self.take_failures(list);
        }
        let before = self.selected.clone();
        self.keep_selection(row);
        self.scroll = self.scroll.min(self.last_line());
        self.selected != before
    }

    fn take_failures(&mut self, list: List) {
        if list.nodes.is_some() {
            // Numbers are of one agent; such a list is whole.
            self.failures = list.failures.into();
            self.untold = list.dropped.untold();
            return;
        }
        if self.position.is_none_or(|(run, _)| run != list.run) {
            self.failures.clear();
        }
        // A number that is known already came with an answer that overlaps with the one before.
        let known = self
            .position
            .filter(|(run, _)| *run == list.run)
            .map_or(0, |(_, next)| next);
        self.position = Some((list.run, list.next.max(known)));
        self.untold = list.dropped.untold();
        self.failures
            .extend(list.failures.into_iter().filter(|failure| failure.seq >= known));
        let too_many = self.failures.len().saturating_sub(KEPT);
        self.failures.drain(..too_many);
    }

    /// Selects what stands at the row of the selected point when that is gone. The detail of a point that is gone is left.
    fn keep_selection(&mut self, row: usize) {
        let is_there = match self.view {
            View::Points => self.selected_row().is_some(),
            // It is looked at, whether or not it still passes the filter.
            View::Detail => self.selected().is_some(),
        };
        if is_there {
            return;
        }
        let shown = self.shown();
        let next = shown.get(row.min(shown.len().saturating_sub(1)));
        let next = next.map(|point| Selected::of(point));
        self.select(next);
        if self.view == View::Detail {
            self.look_at(View::Points);
        }
    }

    fn select(&mut self, selected: Option<Selected>) -> Step {
        if self.selected == selected {
            return Step::Draw;
        }
        self.selected = selected;
        self.detail = None;
        self.scroll = 0;
        Step::Ask
    }

    fn look_at(&mut self, view: View) -> Step {
        self.view = view;
        self.scroll = 0;
        // Other failures are shown there.
        self.failures.clear();
        self.position = None;
        Step::Ask
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Step {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => Step::Quit,
            _ if is_control => Step::Draw,
            _ if self.has_help => {
                self.has_help = false;
                if key.code == KeyCode::Char('q') {
                    Step::Quit
                } else {
                    Step::Draw
                }
            }
            code if self.is_typing => self.typed(code),
            KeyCode::Char('q') => Step::Quit,
            KeyCode::Char('?') => {
                self.has_help = true;
                Step::Draw
            }
            code => match self.view {
                View::Points => self.in_points(code),
                View::Detail => self.in_detail(code),
            },
        }
    }

    fn typed(&mut self, code: KeyCode) -> Step {
        let row = self.selected_row().unwrap_or_default();
        match code {
            KeyCode::Char(typed) => self.filter.push(typed),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => return Step::Draw,
        }
        let before = self.selected.clone();
        self.keep_selection(row);
        if self.selected == before { Step::Draw } else { Step::Ask }
    }

    fn in_points(&mut self, code: KeyCode) -> Step {
        let last = self.shown().len().saturating_sub(1);
        let row = self.selected_row().unwrap_or_default();
        let to = match code {
            KeyCode::Char('j') | KeyCode::Down => row + 1,
            KeyCode::Char('k') | KeyCode::Up => row.saturating_sub(1),
            KeyCode::PageDown => row + PAGE,
            KeyCode::PageUp => row.saturating_sub(PAGE),
            KeyCode::Home => 0,
            KeyCode::End => last,
            KeyCode::Enter if self.selected().is_some() => return self.look_at(View::Detail),
            KeyCode::Tab => {
                self.turn_ends();
                return Step::Draw;
            }
            KeyCode::Char('/') => {
                self.is_typing = true;
                return Step::Draw;
            }
            KeyCode::Esc => {
                self.filter.clear();
                return Step::Draw;
            }
            KeyCode::Char(key) => {
                self.sort_by(key);
                return Step::Draw;
            }
            _ => return Step::Draw,
        };
        let selected = self.shown().get(to.min(last)).map(|point| Selected::of(point));
        self.select(selected)
    }

    fn in_detail(&mut self, code: KeyCode) -> Step {
        let last = self.last_line();
        let to = match code {
            KeyCode::Char('j') | KeyCode::Down => self.scroll + 1,
            KeyCode::Char('k') | KeyCode::Up => self.scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll + PAGE,
            KeyCode::PageUp => self.scroll.saturating_sub(PAGE),
            KeyCode::Home => 0,
            KeyCode::End => last,
            KeyCode::Esc | KeyCode::Backspace => return self.look_at(View::Points),
            _ => return Step::Draw,
        };
        self.scroll = to.min(last);
        Step::Draw
    }

    /// The last line that may stand at the top: so that the end of the detail is more than one line.
    fn last_line(&self) -> usize {
        let lines = self
            .detail
            .as_ref()
            .map_or(0, |detail| detail::lines(detail, ends::WIDE).len());
        lines.saturating_sub(PAGE)
    }

    fn turn_ends(&mut self) {
        self.ends = match self.ends {
            Ends::Dependents => Ends::Served,
            Ends::Served => Ends::Dependents,
        };
    }

    /// The same order again turns it round.
    fn sort_by(&mut self, key: char) {
        if let Some(sort) = Sort::ALL.into_iter().find(|sort| sort.key() == key) {
            self.is_reversed = self.sort == sort && !self.is_reversed;
            self.sort = sort;
        }
    }
}

/// Whether the name, the instance, the kind, the mesh, the severity or the node has this text, which is in lower case.
fn passes(point: &Point, filter: &str) -> bool {
    let name = &point.name;
    let severity = super::columns::severity(point.trouble.severity);
    let text = [
        &name.name,
        &name.instance,
        name.kind.label(),
        name.mesh.label(),
        severity,
        point.node.as_deref().unwrap_or_default(),
    ]
    .join(" ");
    text.to_lowercase().contains(filter)
}
