//! The types of panels that the dashboards have.

pub(super) mod bars;
pub(super) mod stat;
pub(super) mod table;
pub(super) mod time_series;

use super::color;
use super::svg::{Align, Area, Style, Svg};

/// The text in the place of data that there are not.
fn nothing(svg: &mut Svg, area: Area, text: &str) {
    let style = Style::plain(13.0, color::FAINT).aligned(Align::Middle);
    let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0);
    svg.text(x, y, area.width, style, text);
}
