//! What is drawn, compared as text; and what keys do.

mod all_nodes;
mod drawing;
mod keys;
mod panic;

use super::{
    ends::Ends,
    sort::Sort,
    state::{Answers, State, Step},
};
use crate::api::{PointDetail, PointList};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What an agent answers: a waypoint whose accept queue is full, a ztunnel without its control plane, and four others.
const POINTS: &str = include_str!("points.json");
const POINT: &str = include_str!("point.json");
const FAILURES: &str = include_str!("failures.json");

fn list() -> PointList {
    serde_json::from_str(POINTS).expect("a list of points")
}

fn detail() -> PointDetail {
    serde_json::from_str(POINT).expect("a point")
}

fn answers() -> Answers {
    Answers {
        list: list(),
        detail: Some(detail()),
        failures: Some(serde_json::from_str(FAILURES).expect("a list of failures")),
    }
}

/// After the first answers, when those about the selected point have come as well.
fn state() -> State {
    let mut state = State::new(Sort::Trouble, "");
    assert!(state.answered(answers()), "the first point is selected now");
    assert!(!state.answered(answers()));
    state
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn press(state: &mut State, keys: &str) {
    for c in keys.chars() {
        state.key(key(KeyCode::Char(c)));
    }
}
