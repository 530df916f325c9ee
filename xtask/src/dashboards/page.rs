//! A dashboard as a drawing: its title, the choices of its variables, and its panels where the grid has them.

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::color;
use super::data::Source;
use super::panels::{bars, stat, table, time_series};
use super::svg::{Align, Area, Style, Svg};

/// The width of the drawing in pixels: a browser window on a common screen, without Grafana's menu.
const WIDTH: f64 = 1680.0;

/// Columns of the grid, the height of one of its rows, and the space between two panels; the latter two in pixels, as Grafana has them.
const COLUMNS: f64 = 24.0;
const ROW: f64 = 38.0;
const GAP: f64 = 8.0;

/// The height of the page's head, and of the head of a panel.
const HEAD: f64 = 76.0;
const TITLE: f64 = 32.0;

/// Draws a dashboard, and returns an SVG document.
///
/// # Errors
/// A query fails, or the dashboard has something that is not known here; the panel is named.
pub(super) fn drawn(dashboard: &Value, source: &Source<'_>) -> Result<String> {
    let mut svg = Svg::default();
    head(&mut svg, dashboard, source);
    let mut bottom = HEAD;
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let area = area(panel);
        bottom = bottom.max(area.bottom());
        draw(&mut svg, panel, area, source).with_context(|| format!("panel {}", panel["title"]))?;
    }
    Ok(svg.finish(WIDTH, bottom + GAP, color::PAGE))
}

fn head(svg: &mut Svg, dashboard: &Value, source: &Source<'_>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    svg.text(
        GAP * 2.0,
        28.0,
        WIDTH,
        Style::plain(18.0, color::TEXT).bold(),
        &text(&dashboard["title"]),
    );
    let [start, end] = [source.range.start, source.range.end].map(|time| {
        let time = Timestamp::from_second(time as i64);
        time.map_or_else(|_| String::new(), |time| time.strftime("%F %T").to_string())
    });
    let style = Style::plain(13.0, color::FAINT).aligned(Align::Right);
    svg.text(WIDTH - GAP * 2.0, 28.0, WIDTH, style, &format!("{start} to {end} UTC"));
    let mut x = GAP * 2.0;
    let variables = dashboard["templating"]["list"].as_array().into_iter().flatten();
    for variable in variables.filter(|variable| variable["type"] != "datasource") {
        let name = text(&variable["name"]);
        let label = variable["label"].as_str().unwrap_or(&name).to_owned();
        let shown = format!("{label}:  {}", source.variables.shown(&name));
        let width = super::svg::width(&shown, 13.0) + 2.0 * GAP;
        let field = Area {
            x,
            y: 40.0,
            width,
            height: 28.0,
        };
        svg.rectangle(field, color::PANEL, color::BORDER);
        svg.text(x + GAP, 59.0, width, Style::plain(13.0, color::TEXT), &shown);
        x += width + GAP;
    }
}

fn area(panel: &Value) -> Area {
    let grid = |side: &str| panel["gridPos"][side].as_f64().unwrap_or_default();
    let column = (WIDTH - GAP) / COLUMNS;
    Area {
        x: GAP + grid("x") * column,
        y: HEAD + grid("y") * ROW,
        width: grid("w") * column - GAP,
        height: grid("h") * ROW - GAP,
    }
}

fn draw(svg: &mut Svg, panel: &Value, area: Area, source: &Source<'_>) -> Result<()> {
    let title = panel["title"].as_str().unwrap_or_default();
    if panel["type"] == "row" {
        let style = Style::plain(16.0, color::TEXT).bold();
        svg.text(area.x, area.y + 22.0, area.width, style, &format!("⌄ {title}"));
        return Ok(());
    }
    svg.rectangle(area, color::PANEL, color::BORDER);
    let style = Style::plain(14.0, color::TEXT).bold();
    svg.text(area.x + GAP, area.y + 21.0, area.width - 2.0 * GAP, style, title);
    let inner = Area {
        x: area.x + GAP,
        width: area.width - 2.0 * GAP,
        ..area.below(TITLE)
    };
    match panel["type"].as_str().unwrap_or_default() {
        "timeseries" => time_series::draw(svg, panel, inner, &source.lines(panel)?, source.range),
        "stat" => stat::draw(svg, panel, inner, &source.lines(panel)?),
        "bargauge" => bars::draw(svg, panel, inner, &source.lines(panel)?),
        "table" => table::draw(svg, panel, inner, &source.table(panel)?),
        other => bail!("the type {other:?} is not known to the renderer of dashboards"),
    }
}
