//! A horizontal bar for each series.

use anyhow::Result;
use serde_json::Value;

use super::super::color;
use super::super::data::Line;
use super::super::field::Field;
use super::super::svg::{Align, Area, Style, Svg};

/// The widths of names and of values, in pixels.
const NAME: f64 = 130.0;
const VALUE: f64 = 70.0;

/// Draws the newest value of each series as a bar, from the field's `min` to its `max`, or to the greatest value.
pub(in super::super) fn draw(svg: &mut Svg, panel: &Value, area: Area, lines: &[Line]) -> Result<()> {
    let values: Vec<(&Line, f64)> = lines.iter().filter_map(|line| Some((line, line.last()?))).collect();
    if values.is_empty() {
        super::nothing(svg, area, Field::of(panel, "")?.no_value());
        return Ok(());
    }
    let greatest = values.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
    let height = (area.height / values.len() as f64).min(40.0);
    for (n, (line, value)) in values.iter().enumerate() {
        let field = Field::of(panel, &line.name)?;
        let shown = field.show(*value)?;
        let full = field.number("/max").unwrap_or(greatest).max(f64::MIN_POSITIVE);
        let y = area.y + height * n as f64;
        let style = Style::plain(13.0, color::TEXT);
        svg.text(area.x, y + height / 2.0 + 4.0, NAME - 8.0, style, &line.name);
        let bar = Area {
            x: area.x + NAME,
            y: y + 4.0,
            width: area.width - NAME - VALUE,
            height: height - 8.0,
        };
        svg.rectangle(bar, color::PAGE, "none");
        let part = Area {
            width: bar.width * (value / full).clamp(0.0, 1.0),
            ..bar
        };
        svg.rectangle(part, &shown.color, "none");
        let style = Style::plain(14.0, &shown.color).bold().aligned(Align::Right);
        svg.text(area.right(), y + height / 2.0 + 5.0, VALUE, style, &shown.text);
    }
    Ok(())
}
