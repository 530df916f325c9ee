//! Colours, where they are wanted. What they say is always said by words and signs as well.

use super::super::columns::padded;
use crate::api::Severity;
use ratatui::{
    style::{Color, Modifier, Style as Look},
    text::Line,
};

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether they are wanted.
    pub has_colour: bool,
}

impl Style {
    /// A title.
    pub fn heading(self, text: String) -> Line<'static> {
        Line::styled(text, Look::new().add_modifier(Modifier::BOLD))
    }

    /// A title that divides the screen.
    pub fn rule(self, title: &str, width: u16) -> Line<'static> {
        let width = usize::from(width);
        let mut text = padded(&format!("-- {title} "), (title.chars().count() + 4).min(width), false);
        let rest = width.saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('-', rest));
        self.heading(text)
    }

    /// Something that is so bad.
    pub fn severity(self, severity: Severity, text: String) -> Line<'static> {
        Line::styled(text, self.look(severity))
    }

    /// A point of a list.
    pub fn row(self, severity: Severity, is_selected: bool, text: String) -> Line<'static> {
        let look = self.look(severity);
        Line::styled(
            text,
            if is_selected {
                look.add_modifier(Modifier::REVERSED)
            } else {
                look
            },
        )
    }

    fn look(self, severity: Severity) -> Look {
        let look = match severity {
            Severity::Critical => Look::new().add_modifier(Modifier::BOLD),
            _ => Look::new(),
        };
        match severity {
            _ if !self.has_colour => look,
            Severity::Critical => look.fg(Color::Red),
            Severity::Warning => look.fg(Color::Yellow),
            Severity::Notice => look.fg(Color::Cyan),
            Severity::Ok => look,
        }
    }
}
