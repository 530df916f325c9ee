//! The blocks that a page is made of.

use super::evidence::Name;

/// The number of names that are listed in a sentence.
const NAMES: usize = 12;

/// A block of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading; 1 is the page's own.
    Heading(u8, String),
    /// A sentence or two.
    Text(String),
    /// The items of a list.
    List(Vec<String>),
    /// A table: its head, and its rows.
    Table(Vec<&'static str>, Vec<Vec<String>>),
}

/// Some names in a sentence.
pub fn names(names: &[Name]) -> String {
    let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
