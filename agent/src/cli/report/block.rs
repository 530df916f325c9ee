//! The blocks that a page is made of.

use crate::cli::name::Name;

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
    /// A picture, as SVG. The blocks beside it say the same in words, for who does not see it.
    Picture(String),
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

/// The number of rows that are shown of a long table; a sentence states how many are left out.
pub const ROWS: usize = 25;

/// The text for a number that is not known.
pub const NOT_KNOWN: &str = "not known";

/// Adds a table of at most [`ROWS`] rows, and a sentence about the others.
pub fn table(page: &mut Vec<Block>, head: Vec<&'static str>, mut rows: Vec<Vec<String>>) {
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    page.push(Block::Table(head, rows));
    if more > 0 {
        page.push(Block::Text(format!("… and {more} more; `--format json` has all.")));
    }
}
