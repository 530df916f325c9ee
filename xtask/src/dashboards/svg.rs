//! A drawing, as SVG.

use std::fmt::Write as _;

/// Where a text stands relative to its x coordinate.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// The look of a text.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    /// Height of the letters' em square in pixels.
    pub(super) size: f64,
    pub(super) color: &'a str,
    pub(super) bold: bool,
    pub(super) align: Align,
}

impl<'a> Style<'a> {
    /// Plain text that begins at its x coordinate.
    pub(super) fn plain(size: f64, color: &'a str) -> Self {
        Self {
            size,
            color,
            bold: false,
            align: Align::Left,
        }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) fn aligned(self, align: Align) -> Self {
        Self { align, ..self }
    }
}

/// A place, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(self) -> f64 {
        self.y + self.height
    }

    /// The area without a strip at its top.
    pub(super) fn below(self, height: f64) -> Self {
        Self {
            y: self.y + height,
            height: self.height - height,
            ..self
        }
    }
}

/// The elements of a drawing, in the order in which they are painted.
#[derive(Default)]
pub(super) struct Svg {
    elements: String,
}

impl Svg {
    pub(super) fn rectangle(&mut self, area: Area, fill: &str, stroke: &str) {
        let Area { x, y, width, height } = area;
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ));
    }

    /// A line through points; dashed ones mark limits.
    pub(super) fn line(&mut self, points: &[(f64, f64)], color: &str, width: f64, dashed: bool) {
        let dash = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let path = path(points);
        self.add(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"{dash}/>"
        ));
    }

    /// A filled polygon.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], color: &str, opacity: f64) {
        let path = path(points);
        self.add(format_args!(
            "<path d=\"{path}Z\" fill=\"{color}\" fill-opacity=\"{opacity}\"/>"
        ));
    }

    /// A text on its baseline, shortened to a width.
    pub(super) fn text(&mut self, x: f64, y: f64, width: f64, style: Style<'_>, text: &str) {
        let Style { size, color, .. } = style;
        let anchor = match style.align {
            Align::Left => "start",
            Align::Middle => "middle",
            Align::Right => "end",
        };
        let weight = if style.bold { "bold" } else { "normal" };
        let text = escaped(&fitting(text, size, width));
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" text-anchor=\"{anchor}\" \
             fill=\"{color}\">{text}</text>"
        ));
    }

    /// The document.
    pub(super) fn finish(self, width: f64, height: f64, background: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"{background}\"/>\n{}</svg>\n",
            self.elements
        )
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.elements, "{element}");
    }
}

/// The width of a text in pixels, by the widths of DejaVu Sans: enough to see what does not fit.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let of = |letter: char| match letter {
        'i' | 'j' | 'l' | '\'' | '|' => 0.29,
        ' ' | '.' | ',' | '/' | ':' | 'f' | 't' | 'r' | '(' | ')' | '-' => 0.38,
        'm' | 'M' | 'w' | 'W' | '%' | '@' => 0.92,
        _ if letter.is_uppercase() => 0.7,
        _ => 0.62,
    };
    text.chars().map(of).sum::<f64>() * size
}

fn fitting(text: &str, size: f64, available: f64) -> String {
    if width(text, size) <= available {
        return text.to_owned();
    }
    let mut short = text.to_owned();
    while short.pop().is_some() {
        if width(&short, size) + size <= available {
            break;
        }
    }
    short + "…"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (n, (x, y)) in points.iter().enumerate() {
        let _infallible = write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shortened_and_marked_up_ones_escaped() {
        let mut svg = Svg::default();
        svg.text(0.0, 0.0, 100.0, Style::plain(12.0, "black"), "a<b & c");
        svg.text(0.0, 0.0, 40.0, Style::plain(12.0, "black"), "a long name of a workload");
        let text = svg.finish(10.0, 10.0, "white");
        assert!(text.contains(">a&lt;b &amp; c</text>"), "{text}");
        assert!(text.contains(">a lo…</text>"), "{text}");
    }
}
