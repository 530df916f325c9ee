//! A panic while the screen is shown gives the terminal back, and its message is seen.

use super::super::screen::Screen;
use crossterm::event;
use narrows_testbed::terminal::Terminal;
use ratatui::widgets::Paragraph;
use std::{
    env, panic,
    process::{self, Command},
};

/// Set in the program that is to panic: this test once more, in a terminal of its own.
const INSIDE: &str = "NARROWS_TEST_INSIDE_TERMINAL";

/// What it shows.
const SHOWN: &str = "until a key is pressed";

/// What it says when it panics.
const SAID: &str = "panicked on purpose";

/// What is written afterwards, as the shell's prompt is.
const AFTER: &str = "prompt of the shell";

#[test]
fn a_panic_gives_the_terminal_back() {
    if env::var_os(INSIDE).is_some() {
        return panic_in_a_terminal();
    }
    let this = env::current_exe().expect("a test");
    let mut program = Command::new(this);
    program.args([
        "--exact",
        "cli::top::tests::panic::a_panic_gives_the_terminal_back",
        "--nocapture",
    ]);
    program.env(INSIDE, "true").env("RUST_BACKTRACE", "0");
    let mut terminal = Terminal::start(&mut program, (40, 120));
    terminal.shows(&[SHOWN]);
    terminal.press("q");
    // Whether everything is as it was is seen there.
    let (status, text) = terminal.end();
    assert!(!status.success() && !text.contains(SHOWN), "{text}");
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?}:\n{text}"));
    assert!(place(SAID) < place(AFTER), "it is not written over:\n{text}");
}

fn panic_in_a_terminal() {
    let panicked = panic::catch_unwind(|| {
        let mut screen = Screen::enter().expect("a terminal");
        let drawn = screen
            .0
            .draw(|frame| frame.render_widget(Paragraph::new(SHOWN), frame.area()));
        drawn.expect("drawn");
        event::read().expect("a key");
        panic!("{SAID}");
    });
    println!("{AFTER}");
    process::exit(i32::from(panicked.is_err()));
}
