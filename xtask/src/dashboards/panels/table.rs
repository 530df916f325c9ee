//! A table.

use anyhow::Result;
use serde_json::Value;

use super::super::color;
use super::super::field::{Field, Shown};
use super::super::svg::{Align, Area, Style, Svg};
use super::super::table::{Cell, Table};

/// The height of a row, and the width below which Grafana makes no column, in pixels.
const ROW: f64 = 28.0;
const LEAST: f64 = 150.0;

/// Space between a cell's border and its text.
const PADDING: f64 = 6.0;

/// Draws as many rows as fit, and says how many do not, or how many columns.
pub(in super::super) fn draw(svg: &mut Svg, panel: &Value, area: Area, table: &Table) -> Result<()> {
    if table.rows.is_empty() {
        super::nothing(svg, area, Field::of(panel, "")?.no_value());
        return Ok(());
    }
    let mut columns = Vec::new();
    for (at, name) in table.columns.iter().enumerate() {
        let field = Field::of(panel, name)?;
        if field.get("/custom/hidden") != true {
            columns.push((at, name, field));
        }
    }
    let widths = widths(&columns, area.width);
    let fitting = ((area.height / ROW).floor() as usize).saturating_sub(1);
    let mut x = area.x;
    for ((at, name, field), width) in columns.iter().zip(&widths) {
        if x + width > area.right() + 1.0 {
            let style = Style::plain(12.0, "#e02f44").bold().aligned(Align::Right);
            svg.text(
                area.right(),
                area.y - 12.0,
                area.width,
                style,
                &format!("from {name:?} on: scroll to the right"),
            );
            break;
        }
        let is_number = table.rows.iter().any(|row| matches!(row[*at], Cell::Number(_)));
        let (align, from) = match is_number {
            true => (Align::Right, x + width - PADDING),
            false => (Align::Left, x + PADDING),
        };
        let style = Style::plain(13.0, color::LINK).bold().aligned(align);
        svg.text(from, area.y + 17.0, width - 2.0 * PADDING, style, name);
        for (n, row) in table.rows.iter().take(fitting).enumerate() {
            let cell = Area {
                x,
                y: area.y + ROW * (n + 1) as f64,
                width: *width,
                height: ROW,
            };
            draw_cell(svg, cell, field, &row[*at], align, from)?;
        }
        x += width;
    }
    if table.rows.len() > fitting {
        let style = Style::plain(12.0, color::FAINT).aligned(Align::Right);
        let more = format!("{} more rows: scroll down", table.rows.len() - fitting);
        svg.text(area.right(), area.bottom() - 4.0, area.width, style, &more);
    }
    Ok(())
}

fn draw_cell(svg: &mut Svg, area: Area, field: &Field, cell: &Cell, align: Align, from: f64) -> Result<()> {
    let shown = match cell {
        Cell::Nothing => return Ok(()),
        Cell::Text(text) => field.show_text(text),
        Cell::Number(value) => field.show(*value)?,
    };
    let Shown { text, color } = shown;
    let color = match field.get("/custom/cellOptions/type").as_str() {
        Some("color-background") if color != color::TEXT => {
            svg.rectangle(area, &color, "none");
            "#ffffff"
        }
        Some("color-text") => &color,
        _ if field.get("/links").is_array() => color::LINK,
        _ => color::TEXT,
    };
    svg.line(&[(area.x, area.y), (area.right(), area.y)], color::GRID, 1.0, false);
    let style = Style::plain(13.0, color).aligned(align);
    svg.text(from, area.y + 18.0, area.width - 2.0 * PADDING, style, &text);
    Ok(())
}

/// Columns have the width that is set for them; the others share what is left.
fn widths(columns: &[(usize, &String, Field)], available: f64) -> Vec<f64> {
    let set: Vec<Option<f64>> = columns
        .iter()
        .map(|(_, _, field)| field.number("/custom/width"))
        .collect();
    let left = available - set.iter().flatten().sum::<f64>();
    let sharing = set.iter().filter(|width| width.is_none()).count().max(1);
    let share = (left / sharing as f64).max(LEAST);
    set.into_iter().map(|width| width.unwrap_or(share)).collect()
}
