//! Lines over time, with axes, limits and a legend below them.

use anyhow::Result;
use jiff::Timestamp;
use narrows_testbed::prometheus::Range;
use serde_json::Value;

use super::super::color;
use super::super::data::Line;
use super::super::field::Field;
use super::super::svg::{Align, Area, Style, Svg};

/// The height of a row of the legend, in pixels, and the share of the panel that Grafana gives to the legend at most.
const LEGEND_ROW: f64 = 22.0;
const LEGEND_SHARE: f64 = 0.35;

/// Space for the labels of the axes, in pixels.
const LEFT: f64 = 76.0;
const BOTTOM: f64 = 20.0;
const TOP: f64 = 6.0;

/// Draws the series of a panel.
pub(in super::super) fn draw(svg: &mut Svg, panel: &Value, area: Area, lines: &[Line], range: Range) -> Result<()> {
    let field = Field::of(panel, "")?;
    if lines.iter().all(|line| line.points.is_empty()) {
        super::nothing(svg, area, field.no_value());
        return Ok(());
    }
    let rows = (lines.len() as f64 + 1.0).min((area.height * LEGEND_SHARE / LEGEND_ROW).floor());
    let plot = Area {
        x: area.x + LEFT,
        y: area.y + TOP,
        width: area.width - LEFT - 8.0,
        height: area.height - TOP - rows * LEGEND_ROW - BOTTOM - 8.0,
    };
    let is_stacked = field.get("/custom/stacking/mode") == "normal";
    let stacked = if is_stacked { stacked(lines, range) } else { Vec::new() };
    let shown: Vec<&[(f64, f64)]> = match is_stacked {
        true => stacked.iter().map(Vec::as_slice).collect(),
        false => lines.iter().map(|line| line.points.as_slice()).collect(),
    };
    let scale = Scale::of(&field, &shown, plot, range);
    scale.axes(svg, &field)?;
    let opacity = field.number("/custom/fillOpacity").unwrap_or_default() / 100.0;
    // From the last to the first, so that a stacked area does not hide those below it.
    let are_bars = field.get("/custom/drawStyle") == "bars";
    let width = (plot.width * range.step / (range.end - range.start).max(range.step)).max(3.0);
    for (n, points) in shown.iter().enumerate().rev() {
        if are_bars {
            for point in *points {
                let (x, y) = scale.place(*point);
                let bar = Area {
                    x: x - width / 2.0,
                    y,
                    width,
                    height: plot.bottom() - y,
                };
                svg.rectangle(bar, color::of_series(n), "none");
            }
            continue;
        }
        for run in runs(points, range.step) {
            let path: Vec<(f64, f64)> = run.iter().map(|point| scale.place(*point)).collect();
            let (first, last) = (path[0], path[path.len() - 1]);
            let area: Vec<_> = path
                .iter()
                .copied()
                .chain([(last.0, plot.bottom()), (first.0, plot.bottom())])
                .collect();
            svg.polygon(&area, color::of_series(n), opacity);
            svg.line(&path, color::of_series(n), 1.5, false);
        }
    }
    if field.get("/custom/thresholdsStyle/mode") == "line" {
        for (value, color) in field.thresholds() {
            let y = scale.place((range.start, value)).1;
            svg.line(&[(plot.x, y), (plot.right(), y)], color, 1.0, true);
        }
    }
    let legend = Area {
        y: area.bottom() - rows * LEGEND_ROW,
        height: rows * LEGEND_ROW,
        ..area
    };
    draw_legend(svg, panel, legend, lines, rows as usize)
}

/// The legend as a table: name, last and greatest value.
fn draw_legend(svg: &mut Svg, panel: &Value, area: Area, lines: &[Line], rows: usize) -> Result<()> {
    let (last, most) = (area.right() - 110.0, area.right() - 6.0);
    let head = Style::plain(12.0, color::LINK).bold().aligned(Align::Right);
    svg.text(last, area.y + 14.0, 100.0, head, "Last *");
    svg.text(most, area.y + 14.0, 100.0, head, "Max");
    let hidden = (lines.len() + 1).saturating_sub(rows);
    if hidden > 0 {
        let more = format!("{hidden} more: scroll");
        svg.text(
            area.x + 20.0,
            area.y + 14.0,
            200.0,
            Style::plain(12.0, color::FAINT),
            &more,
        );
    }
    let mut sorted: Vec<(usize, &Line)> = lines.iter().enumerate().collect();
    if panel["options"]["legend"]["sortBy"] == "Last *" {
        let last = |line: &Line| line.last().unwrap_or(f64::MIN);
        sorted.sort_by(|(_, a), (_, b)| last(b).total_cmp(&last(a)));
    }
    for (row, (n, line)) in sorted.into_iter().take(rows.saturating_sub(1)).enumerate() {
        let field = Field::of(panel, &line.name)?;
        let y = area.y + LEGEND_ROW * (row + 1) as f64;
        let mark = Area {
            x: area.x + 2.0,
            y: y + 8.0,
            width: 12.0,
            height: 4.0,
        };
        svg.rectangle(mark, color::of_series(n), "none");
        let style = Style::plain(12.0, color::TEXT);
        svg.text(area.x + 20.0, y + 14.0, last - area.x - 90.0, style, &line.name);
        let most_value = line.points.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
        for (x, value) in [(last, line.last()), (most, line.last().map(|_| most_value))] {
            if let Some(value) = value {
                svg.text(
                    x,
                    y + 14.0,
                    100.0,
                    style.aligned(Align::Right),
                    &field.show(value)?.text,
                );
            }
        }
    }
    Ok(())
}

/// Where times and values are in the picture.
struct Scale {
    plot: Area,
    range: Range,
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn of(field: &Field, shown: &[&[(f64, f64)]], plot: Area, range: Range) -> Self {
        let values = || shown.iter().flat_map(|points| points.iter().map(|(_, value)| *value));
        let low = field
            .number("/min")
            .unwrap_or_else(|| values().fold(f64::MAX, f64::min));
        let least_high = field.number("/custom/axisSoftMax").unwrap_or(f64::MIN);
        let most = values().fold(least_high, f64::max);
        let high = field
            .number("/max")
            .unwrap_or(if most > low { most } else { low + 1.0 });
        let step = if field.get("/unit") == "bytes" {
            ((high - low) / 4.0).log2().ceil().exp2()
        } else {
            nice((high - low) / 4.0)
        };
        Self {
            plot,
            range,
            low,
            high: low + ((high - low) / step - 1e-9).ceil() * step,
            step,
        }
    }

    fn place(&self, (time, value): (f64, f64)) -> (f64, f64) {
        let across = (time - self.range.start) / (self.range.end - self.range.start).max(f64::MIN_POSITIVE);
        let up = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        (
            self.plot.x + across * self.plot.width,
            self.plot.bottom() - up * self.plot.height,
        )
    }

    fn axes(&self, svg: &mut Svg, field: &Field) -> Result<()> {
        let mut value = self.low;
        while value <= self.high + self.step / 2.0 {
            let (_, y) = self.place((self.range.start, value));
            svg.line(&[(self.plot.x, y), (self.plot.right(), y)], color::GRID, 1.0, false);
            // Sums of a decimal step are not decimal.
            let label = field.show((value / self.step).round() * self.step)?.text;
            let style = Style::plain(11.0, color::FAINT).aligned(Align::Right);
            svg.text(self.plot.x - 6.0, y + 4.0, LEFT, style, &label);
            value += self.step;
        }
        let span = self.range.end - self.range.start;
        let between = nice_time(span / (self.plot.width / 110.0));
        let mut time = (self.range.start / between).ceil() * between;
        while time <= self.range.end {
            let (x, _) = self.place((time, self.low));
            let style = Style::plain(11.0, color::FAINT).aligned(Align::Middle);
            svg.text(x, self.plot.bottom() + 15.0, 90.0, style, &clock(time, between));
            time += between;
        }
        Ok(())
    }
}

/// Points without a gap between them; nothing is drawn across one.
fn runs(points: &[(f64, f64)], step: f64) -> Vec<&[(f64, f64)]> {
    points.chunk_by(|a, b| b.0 - a.0 <= step * 1.5).collect()
}

/// Each series on top of those before it.
fn stacked(lines: &[Line], range: Range) -> Vec<Vec<(f64, f64)>> {
    let step = |time: f64| ((time - range.start) / range.step).round() as usize;
    let mut sums = vec![0.0; step(range.end) + 1];
    let mut stacked = Vec::new();
    for line in lines {
        let on_top = |(time, value): &(f64, f64)| {
            let sum = sums.get_mut(step(*time))?;
            *sum += value;
            Some((*time, *sum))
        };
        stacked.push(line.points.iter().filter_map(on_top).collect());
    }
    stacked
}

/// 1, 2 or 5 times a power of ten, at least as much.
fn nice(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors.into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A distance of labels on the axis of time, in seconds.
fn nice_time(least: f64) -> f64 {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0,
    ];
    steps.into_iter().find(|step| *step >= least).unwrap_or(86_400.0)
}

fn clock(time: f64, between: f64) -> String {
    let format = if between < 60.0 { "%H:%M:%S" } else { "%H:%M" };
    let time = Timestamp::from_second(time as i64);
    time.map_or_else(|_| String::new(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps() {
        assert_eq!([0.25, 0.3, 7.0, 12.0, 1000.0].map(nice), [0.5, 0.5, 10.0, 20.0, 1000.0]);
        assert_eq!([0.5, 7.0, 61.0].map(nice_time), [1.0, 10.0, 120.0]);
        assert_eq!(
            (clock(90.0, 30.0), clock(90.0, 60.0)),
            ("00:01:30".into(), "00:01".into())
        );
    }

    #[test]
    fn lines_break_at_gaps_and_stack() {
        let points = [(0.0, 1.0), (1.0, 1.0), (3.0, 1.0)];
        let lengths: Vec<usize> = runs(&points, 1.0).into_iter().map(<[_]>::len).collect();
        assert_eq!(lengths, [2, 1]);
        let line = |points: &[(f64, f64)]| Line {
            name: String::new(),
            points: points.to_vec(),
        };
        let range = Range {
            start: 0.0,
            end: 3.0,
            step: 1.0,
        };
        let stacked = stacked(&[line(&points), line(&[(1.0, 2.0)])], range);
        assert_eq!(stacked[1], [(1.0, 3.0)]);
    }
}
