//! One number, or a few, in large letters.

use anyhow::Result;
use serde_json::Value;

use super::super::color;
use super::super::data::Line;
use super::super::field::Field;
use super::super::svg::{self, Align, Area, Style, Svg};

/// Draws the newest value of each series, side by side, with names where there are several.
pub(in super::super) fn draw(svg: &mut Svg, panel: &Value, area: Area, lines: &[Line]) -> Result<()> {
    let values: Vec<(&Line, f64)> = lines.iter().filter_map(|line| Some((line, line.last()?))).collect();
    if values.is_empty() {
        // Grafana shrinks a text until it fits.
        let text = Field::of(panel, "")?.no_value().to_owned();
        super::nothing(svg, area, &text);
        return Ok(());
    }
    let mode = panel["options"]["textMode"].as_str().unwrap_or("auto");
    let is_named = mode == "value_and_name" || mode == "name" || (mode == "auto" && values.len() > 1);
    let width = area.width / values.len() as f64;
    for (n, (line, value)) in values.iter().enumerate() {
        let shown = Field::of(panel, &line.name)?.show(*value)?;
        let middle = area.x + width * (n as f64 + 0.5);
        let text = if mode == "name" { &line.name } else { &shown.text };
        let mut size: f64 = 40.0;
        while size > 14.0 && svg::width(text, size) > width - 8.0 {
            size -= 2.0;
        }
        let style = Style::plain(size, &shown.color).bold().aligned(Align::Middle);
        svg.text(middle, area.y + area.height * 0.55, width, style, text);
        if is_named && mode != "name" {
            let style = Style::plain(13.0, color::TEXT).aligned(Align::Middle);
            svg.text(middle, area.bottom() - 14.0, width - 4.0, style, &line.name);
        }
    }
    Ok(())
}
