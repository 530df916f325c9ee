//! The points of all nodes.

use super::{
    super::state::Selected,
    drawing::{drawn, is_in},
    *,
};
use crate::fleet::{Missing, Nodes};

/// The points on two nodes, of which the waypoint is the same instance on both: told by its own agent, and by its callers' one.
fn fleet() -> Answers {
    let mut answers = answers();
    for (at, point) in answers.list.points.iter_mut().enumerate() {
        point.node = Some(format!("worker-{}", 1 + at % 2));
    }
    let points = &mut answers.list.points;
    let mut twin = points[2].clone();
    twin.node = Some("worker-7".to_owned());
    points.push(twin);
    answers.list.nodes = Some(Nodes {
        answered: vec!["worker-1".to_owned(), "worker-2".to_owned()],
        missing: vec![Missing {
            address: "10.0.0.3:9798".to_owned(),
            node: Some("worker-3".to_owned()),
            error: "too_slow".to_owned(),
            message: "no complete answer within 3.0 s".to_owned(),
        }],
    });
    let failures = answers.failures.as_mut().expect("a list");
    failures.nodes.clone_from(&answers.list.nodes);
    for failure in &mut failures.failures {
        failure.node = Some("worker-2".to_owned());
    }
    answers.detail = None;
    answers
}

fn state() -> State {
    let mut state = State::new(Sort::Trouble, "");
    state.all_nodes = true;
    assert!(state.answered(fleet()), "the first point is selected now");
    state
}

#[test]
fn the_node_of_each_point_is_shown_and_which_nodes_are_missing() {
    let text = drawn(&state(), (120, 24));
    is_in("src/cli/top/tests/all-nodes.txt", &text);
    assert!(text.contains("1 MISSING: worker-3 (too slow)"), "{text}");
    assert!(text.contains("FAILURES of all nodes"), "{text}");
}

#[test]
fn an_instance_that_two_nodes_tell_of_is_two_rows() {
    let mut state = state();
    let last = state.shown().len() - 1;
    state.key(key(KeyCode::End));
    assert_eq!(state.selected_row(), Some(last));
    let wanted = state.wanted();
    let point = &state.list.points[last];
    let expected = Selected {
        id: point.name.id.clone(),
        node: Some("worker-7".to_owned()),
    };
    assert_eq!(
        (wanted.detail, wanted.all_nodes, wanted.from),
        (Some(expected), true, None)
    );
    // Its name and its node are found.
    press(&mut state, "/WORKER-7");
    assert_eq!(state.shown().len(), 1);
}

#[test]
fn failures_of_all_nodes_are_the_newest_of_each_answer() {
    let mut state = state();
    let number = state.failures.len();
    state.answered(fleet());
    assert_eq!((state.failures.len(), state.wanted().from), (number, None));
}
