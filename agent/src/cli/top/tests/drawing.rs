//! What is drawn, at several sizes, compared with texts in files: those in this folder, and the recording in the documents.

use super::{
    super::{
        columns::Table,
        detail,
        draw::{Style, draw},
    },
    *,
};
use crate::api::Severity;
use ratatui::{Terminal, backend::TestBackend, style::Color};
use std::{fs, path::Path};

const PLAIN: Style = Style { has_colour: false };

fn terminal(state: &State, (width, height): (u16, u16), style: Style) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, state, style)).expect("drawn");
    terminal
}

/// The characters of the screen, without the spaces at the end of lines.
pub fn drawn(state: &State, size: (u16, u16)) -> String {
    let terminal = terminal(state, size, PLAIN);
    let lines = terminal.backend().buffer().content().chunks(size.0.into()).map(|line| {
        let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// Compares with a file of the repository. To change what is drawn: run the test with NARROWS_REDRAW=1, and look at the difference.
#[track_caller]
pub fn is_in(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("NARROWS_REDRAW").is_some() {
        fs::write(&path, text).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{file} is not what is drawn (NARROWS_REDRAW=1 writes it):\n{text}"
    );
}

fn opened() -> State {
    let mut state = state();
    assert_eq!(state.key(key(KeyCode::Enter)), Step::Ask);
    state.answered(answers());
    state
}

#[test]
fn points_on_terminals_of_several_sizes() {
    for size in [(80, 24), (60, 20), (140, 40)] {
        is_in(
            &format!("src/cli/top/tests/{}x{}.txt", size.0, size.1),
            &drawn(&state(), size),
        );
    }
}

#[test]
fn everything_about_a_point() {
    is_in("src/cli/top/tests/detail.txt", &drawn(&opened(), (80, 100)));
}

#[test]
fn the_recording_in_the_documents() {
    let mut state = state();
    let mut recording = String::new();
    let mut record = |what: &str, state: &State| {
        recording += &format!("$ {what}\n{}\n", drawn(state, (80, 24)));
    };
    record("narrows top", &state);
    let page = include_str!("../../../../../docs/command-line.md");
    assert!(
        page.contains(&drawn(&state, (80, 24))),
        "docs/command-line.md shows something else"
    );
    state.key(key(KeyCode::Enter));
    state.answered(answers());
    record("Enter: everything about the point", &state);
    state.key(key(KeyCode::PageDown));
    state.key(key(KeyCode::PageDown));
    record("Page Down, twice", &state);
    state.key(key(KeyCode::Esc));
    state.answered(answers());
    press(&mut state, "R/waypoint");
    record("Esc, R (sort by choke risk), /waypoint", &state);
    state.key(key(KeyCode::Esc));
    press(&mut state, "?");
    record("Esc, ?", &state);
    is_in("../docs/top.txt", &recording);
}

#[test]
fn no_size_is_too_small() {
    for size in [(1, 1), (5, 3), (20, 8), (30, 12), (1_000, 2)] {
        for state in [state(), opened(), State::default()] {
            assert_eq!(drawn(&state, size).lines().count(), usize::from(size.1));
        }
    }
    let narrow = drawn(&state(), (20, 10));
    assert!(narrow.contains("> CRITICAL shop/way…"), "{narrow}");
}

#[test]
fn in_a_pipe_there_is_room_for_all_columns() {
    let list = list();
    let points: Vec<_> = list.points.iter().collect();
    let table = Table::new(&points, None);
    assert!(table.header.starts_with("STATE    POINT"), "{}", table.header);
    for title in ["KIND", "SERVED", "INSTANCE", "MESH", "WHY"] {
        assert!(table.header.contains(title), "{title}");
    }
    assert!(table.rows[0].ends_with("waypoint-6f7d9c8b5d-x2x7k istio accept queue 100 % full"));
    assert!(table.rows[5].ends_with("the point does not run on this node: ask the agent of its node"));
    for width in 20..200 {
        let table = Table::new(&points, Some(width));
        for line in table.rows.iter().chain([&table.header]) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colours_only_repeat_what_words_say() {
    let with = |has_colour| {
        let detail = terminal(&opened(), (80, 24), Style { has_colour });
        let points = terminal(&state(), (80, 24), Style { has_colour });
        let cells = [detail, points]
            .map(|terminal| terminal.backend().buffer().content().to_vec())
            .concat();
        let colours = cells
            .iter()
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count();
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        (colours, text)
    };
    let ((plain, text), (coloured, same_text)) = (with(false), with(true));
    assert_eq!(plain, 0);
    assert!(coloured > 0);
    assert_eq!(text, same_text);
}

#[test]
fn an_agent_that_is_away_or_fails_is_not_hidden() {
    let mut state = state();
    state.away = Some("Connection refused (os error 111)".into());
    let text = drawn(&state, (80, 24));
    assert!(
        text.contains("\nNO ANSWER: Connection refused (os error 111); what follows is old\n"),
        "{text}"
    );
    assert!(text.contains("shop/waypoint"), "{text}");
    let mut failed = answers();
    failed.list.as_of.tick_error = Some("the flow table cannot be read".into());
    state.answered(failed);
    let text = drawn(&state, (80, 24));
    assert!(
        text.contains("\nTICK FAILED: the flow table cannot be read; what follows is old\n"),
        "{text}"
    );
}

#[test]
fn an_empty_list_says_why() {
    let text = |state: &State| drawn(state, (80, 24));
    assert!(text(&State::default()).contains("the agent has not ended its first tick"));
    let mut nothing = State::default();
    nothing.list.as_of.tick = 3;
    assert!(text(&nothing).contains("the agent knows no point: `narrows check` says"));
    let mut filtered = state();
    press(&mut filtered, "/nowhere");
    assert!(text(&filtered).contains("none of 6 points has \"nowhere\" in it; Esc shows all"));
}

#[test]
fn a_part_of_the_points_is_said_to_be_one() {
    let mut many = answers();
    many.list.total = 1_800;
    let mut state = state();
    state.answered(many);
    assert!(drawn(&state, (80, 24)).contains("1800 points (the first 6 are shown): 1 CRITICAL"));
}

#[test]
fn what_is_missing_is_said_where_its_number_would_be() {
    let mut detail = detail();
    detail.point.delays.as_mut().expect("delays").read_missing = Some("data_arrived: this kernel refuses it".into());
    let text = |detail: &PointDetail| format!("{:?}", detail::lines(detail, 100));
    let said = text(&detail);
    for sentence in [
        "local ports are not counted: the kernel field inet_bind_bucket is off",
        "arrived to read -  data_arrived: this kernel refuses it",
        "this kernel has no tracepoint sock/sk_rcvbuf_drop",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    detail.accept_queues = None;
    detail.missing.accept_queues = Some("kernel program walk is off: too old".into());
    assert!(text(&detail).contains("-  kernel program walk is off: too old"));
    detail.point = list().points.remove(5);
    let said = text(&detail);
    assert!(
        said.contains("choke risk -: the point does not run on this node"),
        "{said}"
    );
    assert!(said.contains("nobody on this node") == detail.point.failures.callers.is_none());
}

#[test]
fn names_do_not_control_the_terminal() {
    let mut answers = answers();
    answers.list.points[0].name.name = "shop/\u{1b}[2Jx".into();
    answers.list.points[0].trouble.severity = Severity::Critical;
    let points: Vec<_> = answers.list.points.iter().collect();
    let rows = Table::new(&points, None).rows;
    assert!(rows.iter().all(|row| !row.contains(char::is_control)), "{rows:?}");
    let mut state = state();
    state.answered(answers);
    assert!(!drawn(&state, (80, 24)).replace('\n', "").contains(char::is_control));
}
