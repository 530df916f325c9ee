//! What keys do.

use super::{super::state::View, *};
use crate::api::Point;

fn names(state: &State) -> Vec<&str> {
    state.shown().into_iter().map(|point| &*point.name.name).collect()
}

fn selected(state: &State) -> &str {
    state.selected().map_or("none", |point| &point.name.name)
}

#[test]
fn the_selection_moves_and_asks_for_who_depends_on_it() {
    let mut state = state();
    assert_eq!(selected(&state), "shop/waypoint");
    assert_eq!(state.key(key(KeyCode::Down)), Step::Ask);
    assert_eq!(selected(&state), "istio-system/ztunnel");
    assert_eq!(state.detail, None, "that of another point is not shown");
    assert_eq!(
        state.wanted().detail.map(|selected| selected.id).as_deref(),
        Some("istio~ztunnel~istio-system__ztunnel~ztunnel-k7x2p")
    );
    // An answer to the question before the key.
    state.answered(answers());
    assert_eq!(state.detail, None);
    press(&mut state, "jjk");
    assert_eq!(selected(&state), "edge/gateway");
    for (code, name) in [
        (KeyCode::End, "edge/egress"),
        (KeyCode::Down, "edge/egress"),
        (KeyCode::Home, "shop/waypoint"),
        (KeyCode::Up, "shop/waypoint"),
        (KeyCode::PageDown, "edge/egress"),
        (KeyCode::PageUp, "shop/waypoint"),
    ] {
        state.key(key(code));
        assert_eq!(selected(&state), name, "{code:?}");
    }
}

#[test]
fn each_shifted_letter_sorts() {
    let mut state = state();
    for (letter, first) in [
        ("R", "shop/waypoint"),
        ("S", "shop/waypoint"),
        ("O", "istio-system/ztunnel"),
        ("C", "istio-system/ztunnel"),
        ("F", "shop/waypoint"),
        ("D", "istio-system/ztunnel"),
        ("W", "shop/waypoint"),
        ("N", "edge/egress"),
        ("T", "shop/waypoint"),
    ] {
        press(&mut state, letter);
        assert_eq!(names(&state)[0], first, "{letter}");
        assert!(!state.is_reversed, "{letter}");
    }
    press(&mut state, "O");
    assert_eq!(
        names(&state).last(),
        Some(&"edge/egress"),
        "what is not known comes last"
    );
    let mut before = names(&state).join(" ");
    press(&mut state, "O");
    before = before.split(' ').rev().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&state).join(" "), before);
    assert_eq!(selected(&state), "shop/waypoint", "it stays the same point");
}

#[test]
fn the_keys_of_orders_differ() {
    let keys: std::collections::BTreeSet<_> = Sort::ALL.iter().map(|sort| sort.key()).collect();
    assert_eq!(keys.len(), Sort::ALL.len());
    assert!(keys.iter().all(char::is_ascii_uppercase));
}

#[test]
fn a_filter_is_typed_kept_and_removed() {
    let mut state = state();
    press(&mut state, "/GATE");
    assert_eq!(names(&state), ["edge/gateway", "edge/egress"], "by name or kind");
    assert_eq!(selected(&state), "edge/gateway");
    state.key(key(KeyCode::Backspace));
    press(&mut state, "q");
    assert_eq!(names(&state), [""; 0], "q is a letter here");
    assert_eq!(selected(&state), "none");
    assert_eq!(state.key(key(KeyCode::Esc)), Step::Ask);
    assert_eq!(names(&state).len(), 6);
    press(&mut state, "/warning");
    state.key(key(KeyCode::Enter));
    assert_eq!(names(&state), ["istio-system/ztunnel"]);
    press(&mut state, "j");
    assert_eq!(names(&state), ["istio-system/ztunnel"], "it is kept");
    assert_eq!(state.key(key(KeyCode::Char('q'))), Step::Quit);
}

#[test]
fn enter_goes_in_and_esc_comes_back() {
    let mut state = state();
    assert_eq!(state.key(key(KeyCode::Enter)), Step::Ask);
    assert_eq!(state.view, View::Detail);
    assert_eq!(state.wanted().failures_of.as_deref(), Some("shop/waypoint"));
    assert_eq!(state.wanted().from, None, "other failures than before");
    for (code, is_lower) in [(KeyCode::Down, true), (KeyCode::End, true), (KeyCode::Home, false)] {
        state.key(key(code));
        assert_eq!(state.scroll > 0, is_lower, "{code:?}");
    }
    state.key(key(KeyCode::End));
    let end = state.scroll;
    state.key(key(KeyCode::PageDown));
    assert_eq!(state.scroll, end);
    assert_eq!(state.key(key(KeyCode::Esc)), Step::Ask);
    assert_eq!((state.view, state.scroll), (View::Points, 0));
    assert_eq!(state.wanted().failures_of, None);
}

#[test]
fn help_is_left_by_any_key() {
    let mut state = state();
    press(&mut state, "?");
    assert!(state.has_help);
    press(&mut state, "j");
    assert!(!state.has_help);
    assert_eq!(selected(&state), "shop/waypoint", "the key does nothing else");
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut state, "/");
    assert_eq!(state.key(interrupt), Step::Quit, "also while a filter is typed");
}

#[test]
fn tab_shows_the_other_side() {
    let mut state = state();
    state.key(key(KeyCode::Tab));
    assert_eq!(state.ends, Ends::Served);
    state.key(key(KeyCode::Tab));
    assert_eq!(state.ends, Ends::Dependents);
}

#[test]
fn the_next_one_is_selected_when_a_point_is_gone() {
    let without = |gone: &str| {
        let mut answers = answers();
        answers.list.points.retain(|point: &Point| point.name.name != gone);
        answers
    };
    let mut state = state();
    press(&mut state, "j");
    assert!(
        state.answered(without("istio-system/ztunnel")),
        "another one is to be asked for"
    );
    assert_eq!(selected(&state), "edge/gateway");
    state.key(key(KeyCode::Enter));
    state.answered(without("edge/gateway"));
    assert_eq!(state.view, View::Points, "there is nothing to look at any more");
    assert_ne!(selected(&state), "none");
}

#[test]
fn a_point_that_is_looked_at_stays_whatever_the_filter() {
    let mut state = state();
    press(&mut state, "/critical");
    state.key(key(KeyCode::Enter));
    state.key(key(KeyCode::Enter));
    let mut better = answers();
    better.list.points[0].trouble = crate::api::Trouble::default();
    state.answered(better);
    assert_eq!((state.view, selected(&state)), (View::Detail, "shop/waypoint"));
}

#[test]
fn failures_are_shown_once_and_a_bounded_number_of_them() {
    let mut state = state();
    assert_eq!(state.failures.len(), 7, "the second answer was the same");
    assert_eq!(state.wanted().from, Some((1, 8)));
    let mut more = answers();
    let list = more.failures.as_mut().expect("a list");
    let one = list.failures[0].clone();
    list.failures = (8..1_008)
        .map(|seq| crate::failures::Failure { seq, ..one.clone() })
        .collect();
    list.next = 1_008;
    state.answered(more);
    assert_eq!(state.failures.len(), 200);
    assert_eq!(state.failures.back().map(|failure| failure.seq), Some(1_007));
    let mut restarted = answers();
    restarted.failures.as_mut().expect("a list").run = 2;
    state.answered(restarted);
    assert_eq!(state.failures.len(), 7, "those of the run before have other numbers");
    assert_eq!(state.wanted().from, Some((2, 8)));
}
