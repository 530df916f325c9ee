//! What is drawn, at several sizes.
use super::{
    super::draw::{Style, draw},
    *,
};
use ratatui::{Terminal, backend::TestBackend};

fn drawn(state: &State, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| draw(frame, state, Style { has_colour: false }))
        .expect("drawn");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(width.into()).map(|line| {
        let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[test]
fn show() {
    let mut s = state();
    for size in [(80, 24), (60, 20), (140, 40)] {
        println!("{}=====", drawn(&s, size));
    }
    s.has_help = true;
    println!("{}=====", drawn(&s, (80, 24)));
    s.has_help = false;
    s.key(key(KeyCode::Enter));
    s.answered(answers());
    s.answered(answers());
    println!("{}=====", drawn(&s, (80, 24)));
    println!("{}=====", drawn(&s, (100, 110)));
    let l = list();
    let p: Vec<_> = l.points.iter().collect();
    let t = super::super::columns::Table::new(&p, None);
    println!("{}\n{}", t.header, t.rows.join("\n"));
}
