//! The page for a browser or a printer: one file, nothing loaded from elsewhere.

use super::block::Block;
use std::fmt::Write as _;

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); } h3 { font-size: 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { background: var(--soft); } tr { break-inside: avoid; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } h2 { break-after: avoid; } }
";

/// Renders the page as a single HTML file.
pub fn render(page: &[Block]) -> String {
    let title = page.iter().find_map(|block| match block {
        Block::Heading(1, heading) => Some(escape(heading)),
        _ => None,
    });
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        title.unwrap_or_default()
    );
    for block in page {
        let _infallible = match block {
            Block::Heading(level, heading) => writeln!(text, "<h{level}>{}</h{level}>", escape(heading)),
            Block::Text(sentence) => writeln!(text, "<p>{}</p>", inline(sentence)),
            Block::List(points) => {
                let points = points.iter().map(|point| format!("<li>{}</li>\n", inline(point)));
                writeln!(text, "<ul>\n{}</ul>", points.collect::<String>())
            }
            Block::Table(head, rows) => {
                let head = head.iter().map(|name| format!("<th>{}</th>", escape(name)));
                let rows = rows.iter().map(|row| {
                    let cells = row.iter().map(|cell| format!("<td>{}</td>", inline(cell)));
                    format!("<tr>{}</tr>\n", cells.collect::<String>())
                });
                writeln!(
                    text,
                    "<div class=\"table\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>",
                    head.collect::<String>(),
                    rows.collect::<String>()
                )
            }
        };
    }
    text + "</body>\n</html>\n"
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes text, and renders text between backticks as code.
fn inline(text: &str) -> String {
    let mut parts = text.split('`');
    let mut written = escape(parts.next().unwrap_or_default());
    while let Some(code) = parts.next() {
        let _infallible = write!(written, "<code>{}</code>", escape(code));
        written.push_str(&escape(parts.next().unwrap_or_default()));
    }
    written
}
