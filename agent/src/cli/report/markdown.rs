//! The page as Markdown that is also readable as plain text.

use super::block::Block;
use std::fmt::Write as _;

/// Renders the page as Markdown.
pub fn render(page: &[Block]) -> String {
    let mut text = String::new();
    for block in page {
        if !text.is_empty() && !matches!(block, Block::Picture(_)) {
            text.push('\n');
        }
        match block {
            Block::Heading(level, heading) => {
                let _infallible = writeln!(text, "{} {heading}", "#".repeat(usize::from(*level)));
            }
            Block::Text(sentence) => {
                let _infallible = writeln!(text, "{sentence}");
            }
            Block::List(points) => {
                for point in points {
                    let _infallible = writeln!(text, "- {point}");
                }
            }
            // What it shows is in the table beside it.
            Block::Picture(_) => {}
            Block::Table(head, rows) => table(&mut text, head, rows),
        }
    }
    text
}

/// Renders a table. Columns are padded to the width of their cells, except the last one.
fn table(text: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|text| cell(text)).collect())
        .collect();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([name.chars().count(), 3]).max().unwrap_or(3)
        })
        .collect();
    let mut line = |cells: &[&str]| {
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let width = if column + 1 == cells.len() { 0 } else { *width };
            let _infallible = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
    };
    line(head);
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let last = dashes.len().saturating_sub(1);
    let dashes: Vec<&str> = dashes
        .iter()
        .enumerate()
        .map(|(column, dashes)| if column == last { "---" } else { dashes.as_str() })
        .collect();
    line(&dashes);
    for row in &rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
