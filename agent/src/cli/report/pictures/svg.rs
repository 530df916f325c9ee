//! Writes SVG that needs nothing else: no script, no style sheet, no font. Mail clients drop those, and attributes stay.

use crate::cli::report::html::escape;
use std::fmt::{Display, Write as _};

/// Colours with enough contrast on white (WCAG 2.1: 4.5 for text, 3 for graphics), and told apart by their grey when printed.
pub const INK: &str = "#1f2933";
/// Of text that is less important.
pub const SOFT: &str = "#52606d";
/// Of what is bad.
pub const BAD: &str = "#b42318";
/// Of what is neither good nor bad.
pub const CALM: &str = "#5a7ea6";
/// Of frames and of the background of bars.
pub const PALE: &str = "#e4e7eb";

/// Fonts that are on every machine: DejaVu Sans is wider than Arial, and what fits in it fits in all.
const FONTS: &str = "system-ui, Arial, 'DejaVu Sans', sans-serif";

/// The mean width of a character, as a part of the size of the font.
const CHARACTER: f64 = 0.6;

/// A drawing.
pub struct Svg(String);

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It goes on to the right.
    Start,
    /// It ends there.
    End,
}

impl Svg {
    /// An empty drawing of this size, in pixels; it becomes smaller on a narrow page. Screen readers read the title instead.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{title}\" width=\"{width}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width} {height:.0}\" style=\"max-width:100%;height:auto\" font-family=\"{FONTS}\" font-size=\"12\">\n\
             <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        ))
    }

    /// The finished drawing.
    pub fn finish(self) -> String {
        self.0 + "</svg>"
    }

    /// Adds a rectangle, with its corner at the top left.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        ));
    }

    /// Adds a frame, with its corner at the top left.
    pub fn frame(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), stroke: &str) {
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\" fill=\"#ffffff\" stroke=\"{stroke}\" \
             stroke-width=\"1.5\"/>"
        ));
    }

    /// Adds a line through what `d` describes, with a text that appears when somebody points at it.
    pub fn path(&mut self, d: &str, stroke: &str, width: f64, dashes: &str, title: &str) {
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!(" stroke-dasharray=\"{dashes}\""),
        };
        self.add(format_args!(
            "<path d=\"{d}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width:.1}\"{dashes}><title>{}</title></path>",
            escape(title)
        ));
    }

    /// Adds a text of at most `width` pixels, on a base line. A longer one loses its middle; all of it is read when somebody points at it.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, fill: &str, (width, size): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::End => "end",
        };
        let shown = shortened(text, (width / (size * CHARACTER)) as usize);
        let whole = match shown == text {
            true => String::new(),
            false => format!("<title>{}</title>", escape(text)),
        };
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\" font-size=\"{size}\">{}{whole}</text>",
            escape(&shown)
        ));
    }

    fn add(&mut self, element: impl Display) {
        let _infallible = writeln!(self.0, "{element}");
    }
}

/// A text of at most so many characters, without its middle where it is longer: names differ at their ends.
fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let end = kept / 2;
    let begin: String = text.chars().take(kept - end).collect();
    let rest: String = text.chars().skip(length - end).collect();
    format!("{begin}…{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle_and_keep_it_for_who_points_at_them() {
        assert_eq!(shortened("shop/cart", 9), "shop/cart");
        assert_eq!(shortened("shop/checkout-v2", 9), "shop…t-v2");
        let mut svg = Svg::new(100.0, 20.0, "a & b");
        svg.text((0.0, 12.0), Anchor::Start, INK, (72.0, 12.0), "shop/<checkout>-v2");
        let drawn = svg.finish();
        assert!(
            drawn.contains(">shop/…&gt;-v2<title>shop/&lt;checkout&gt;-v2</title>"),
            "{drawn}"
        );
        assert!(drawn.contains("aria-label=\"a &amp; b\""), "{drawn}");
    }
}
