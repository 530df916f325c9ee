//! How full the first points of the ranking were over time.

use super::{
    FULL, WIDTH,
    svg::{Anchor, BAD, CALM, INK, PALE, SOFT, Svg},
};
use crate::{
    cli::{
        name::Name,
        report::{block::NOT_KNOWN, percent::percent},
    },
    clock,
};
use serde::Serialize;

/// The highest saturation of a point over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// The point; of a node's proxy, with the node.
    pub point: Name,
    /// Times in seconds since 1970, ascending, each with the highest saturation of all resources and instances since the time before.
    /// Times at which it was not known are left out.
    pub values: Vec<(f64, f64)>,
}

/// The courses of several points over the same time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trend {
    /// From when to when, in seconds since 1970.
    pub span: (f64, f64),
    /// The usual time between two values, in seconds. Over a longer time without any, no line is drawn.
    pub step: f64,
    /// Of each point.
    pub courses: Vec<Course>,
}

/// The height of a point's lane, and of its line, in pixels.
const LANE: f64 = 72.0;
const LINE: f64 = 48.0;

/// Above the lanes, and below them.
const HEAD: f64 = 26.0;
const FOOT: f64 = 22.0;

/// Where lines begin and end.
const FROM: f64 = 270.0;
const TO: f64 = 790.0;

impl Course {
    /// The greatest value, and when it was reached first.
    fn highest(&self) -> Option<(f64, f64)> {
        let greater = |most: (f64, f64), it: &(f64, f64)| if it.1 > most.1 { *it } else { most };
        let first = *self.values.first()?;
        Some(self.values.iter().fold(first, greater))
    }

    /// What the picture shows, in words.
    fn row(&self) -> Vec<String> {
        let value = |it: Option<f64>| it.map_or_else(|| NOT_KNOWN.into(), percent);
        let lowest = self.values.iter().map(|(_, value)| *value).min_by(f64::total_cmp);
        let highest = self.highest();
        vec![
            self.point.clone(),
            value(self.values.first().map(|(_, value)| *value)),
            value(lowest),
            value(highest.map(|(_, value)| value)),
            highest.map_or_else(|| NOT_KNOWN.into(), |(at, _)| moment(at)),
            value(self.values.last().map(|(_, value)| *value)),
        ]
    }
}

impl Trend {
    /// The head of its table.
    pub const COLUMNS: [&'static str; 6] = ["point", "at first", "lowest", "highest", "first reached at", "at last"];

    /// The same as rows of a table.
    pub fn rows(&self) -> Vec<Vec<String>> {
        self.courses.iter().map(Course::row).collect()
    }

    /// Draws it.
    pub fn draw(&self) -> String {
        let height = LANE.mul_add(self.courses.len() as f64, HEAD + FOOT);
        let title = "The highest saturation of the points with the highest rank over time. The table beside it has first, lowest, highest \
                     and last values.";
        let mut svg = Svg::new(WIDTH, height, title);
        svg.text((0.0, 16.0), Anchor::Start, SOFT, (220.0, 12.0), "point");
        svg.text(
            (FROM, 16.0),
            Anchor::Start,
            SOFT,
            (400.0, 12.0),
            "highest saturation, 0 to 100 %, mark at 85 %",
        );
        for (index, course) in self.courses.iter().enumerate() {
            self.lane(&mut svg, LANE.mul_add(index as f64, HEAD), course);
        }
        svg.text(
            (FROM, height - 6.0),
            Anchor::Start,
            SOFT,
            (250.0, 12.0),
            &moment(self.span.0),
        );
        svg.text(
            (TO, height - 6.0),
            Anchor::End,
            SOFT,
            (250.0, 12.0),
            &moment(self.span.1),
        );
        svg.finish()
    }

    fn lane(&self, svg: &mut Svg, top: f64, course: &Course) {
        let (begin, bottom) = (top + 8.0, top + 8.0 + LINE);
        let y = |value: f64| value.clamp(0.0, 1.0).mul_add(-LINE, bottom);
        let length = (self.span.1 - self.span.0).max(1.0);
        let x = |time: f64| ((time - self.span.0) / length).clamp(0.0, 1.0).mul_add(TO - FROM, FROM);
        svg.text(
            (0.0, f64::midpoint(begin, bottom) + 4.0),
            Anchor::Start,
            INK,
            (FROM - 50.0, 12.0),
            &course.point,
        );
        for (value, label) in [(1.0, "100 %"), (0.0, "0 %")] {
            svg.text((FROM - 6.0, y(value) + 4.0), Anchor::End, SOFT, (44.0, 10.0), label);
            svg.path(&format!("M{FROM} {:.1}H{TO}", y(value)), PALE, 1.0, "", label);
        }
        svg.path(&format!("M{FROM} {:.1}H{TO}", y(FULL)), BAD, 1.0, "3 3", "85 %");
        let mut d = String::new();
        let mut before: Option<f64> = None;
        for (time, value) in &course.values {
            // A line through a time that nothing is known of would be made up.
            let goes_on = before.is_some_and(|before| time - before <= 2.5 * self.step);
            let (x, y) = (x(*time), y(*value));
            d += &match goes_on {
                true => format!("L{x:.1} {y:.1}"),
                // With a dot, where there is but one value.
                false => format!("M{x:.1} {y:.1}h1"),
            };
            before = Some(*time);
        }
        let [_, _, _, highest, _, last] = course.row().try_into().unwrap_or_default();
        svg.path(
            &d,
            CALM,
            2.0,
            "",
            &format!("{}: highest {highest}, at last {last}", course.point),
        );
        svg.text(
            (TO + 10.0, begin + 12.0),
            Anchor::Start,
            INK,
            (160.0, 12.0),
            &format!("highest {highest}"),
        );
        svg.text(
            (TO + 10.0, begin + 32.0),
            Anchor::Start,
            SOFT,
            (160.0, 12.0),
            &format!("at last {last}"),
        );
    }
}

/// A time of the day, in UTC.
fn moment(seconds: f64) -> String {
    clock::rfc3339((seconds.round() as i64) * 1000).replace(".000Z", "Z")
}
