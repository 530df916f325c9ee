//! The page for a browser or a printer: one file, nothing loaded from elsewhere.

use super::block::Block;
use std::fmt::Write as _;

/// Mail clients drop variables, media features of colour and flexible boxes, and some drop the whole sheet: the page is readable without.
const STYLE: &str = "\
body { font: 15px/1.5 system-ui, Arial, sans-serif; color: #1f2933; background: #ffffff; max-width: 1000px; margin: 32px auto; padding: 0 16px; }
h1 { font-size: 24px; line-height: 1.25; } h3 { font-size: 16px; }
h2 { font-size: 19px; margin-top: 36px; border-bottom: 1px solid #cbd2d9; }
.table { overflow-x: auto; } .picture { overflow-x: auto; margin: 16px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px; border-bottom: 1px solid #e4e7eb; }
th { background: #f5f7fa; }
code { font-size: 13px; overflow-wrap: anywhere; }
@media print {
  body { max-width: none; margin: 0; font-size: 11px; } h2, h3 { break-after: avoid; } tr, .picture { break-inside: avoid; }
  table { font-size: 10px; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
";

/// Nothing is fetched or run, whatever names the cluster's objects have.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Renders the page as a single HTML file.
pub fn render(page: &[Block]) -> String {
    let title = page.iter().find_map(|block| match block {
        Block::Heading(1, heading) => Some(escape(heading)),
        _ => None,
    });
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"{POLICY}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" \
         content=\"light\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
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
            Block::Picture(svg) => writeln!(text, "<div class=\"picture\">\n{svg}\n</div>"),
            Block::Table(head, rows) => {
                let head = head
                    .iter()
                    .map(|name| format!("<th align=\"left\">{}</th>", escape(name)));
                let rows = rows.iter().map(|row| {
                    let cells = row.iter().map(|cell| format!("<td>{}</td>", inline(cell)));
                    format!("<tr>{}</tr>\n", cells.collect::<String>())
                });
                writeln!(
                    text,
                    "<div class=\"table\"><table cellspacing=\"0\" cellpadding=\"5\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>",
                    head.collect::<String>(),
                    rows.collect::<String>()
                )
            }
        };
    }
    text + "</body>\n</html>\n"
}

/// Escapes a text for HTML and SVG.
pub fn escape(text: &str) -> String {
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
