//! Draws who depends on which point.

use super::{
    WIDTH, alarmed,
    flow::{Column, Edge, Flow},
    svg::{Anchor, BAD, CALM, INK, SOFT, Svg},
};

/// The height of a workload's row, and of a point with few edges, in pixels.
const ROW: f64 = 24.0;
const LEAST_BOX: f64 = 66.0;

/// The vertical space between two points, and that of an edge at a point.
const GAP: f64 = 14.0;
const SLOT: f64 = 13.0;

/// Where the columns begin, and how wide they are.
const LABEL: f64 = 235.0;
const BAR: f64 = 6.0;
const LEFT_BAR: f64 = 245.0;
const BOX: (f64, f64) = (350.0, 260.0);
const RIGHT_BAR: f64 = WIDTH - LEFT_BAR - BAR;

/// Above the columns, and below them.
const HEAD: f64 = 34.0;
const FOOT: f64 = 44.0;

/// The thinnest and the thickest line.
const THIN: f64 = 1.5;
const THICK: f64 = 9.0;

/// A side of the points: where its edges begin and end, and which way its labels go.
struct Side<'a> {
    column: &'a Column,
    bar: f64,
    label: f64,
    anchor: Anchor,
    /// Whether its edges are about ways out.
    has_ways: bool,
}

impl Flow {
    /// Draws it.
    pub fn draw(&self) -> String {
        let heights: Vec<f64> = (0..self.points.len()).map(|point| self.height(point)).collect();
        let points = heights.iter().sum::<f64>() + GAP * heights.len().saturating_sub(1) as f64;
        let rows = |column: &Column| ROW * column.nodes() as f64;
        let body = points.max(rows(&self.workloads)).max(rows(&self.destinations));
        let title = "Workloads that depend on the points with the highest rank, these points, and the workloads that are reached through \
                     them. The table beside it has the same numbers.";
        let mut svg = Svg::new(WIDTH, HEAD + body + FOOT, title);
        let mut tops = Vec::new();
        let mut top = HEAD + (body - points) / 2.0;
        for height in &heights {
            tops.push(top);
            top += height + GAP;
        }
        let left = Side {
            column: &self.workloads,
            bar: LEFT_BAR,
            label: LABEL,
            anchor: Anchor::End,
            has_ways: true,
        };
        let right = Side {
            column: &self.destinations,
            bar: RIGHT_BAR,
            label: WIDTH - LABEL,
            anchor: Anchor::Start,
            has_ways: false,
        };
        for (side, head) in [(&left, "workloads"), (&right, "destinations")] {
            svg.text((side.label, 16.0), side.anchor, SOFT, (LABEL, 12.0), head);
            let from = HEAD + (body - rows(side.column)) / 2.0;
            self.edges(&mut svg, side, from, &tops, &heights);
            side.labels(&mut svg, from);
        }
        svg.text((BOX.0, 16.0), Anchor::Start, SOFT, (BOX.1, 12.0), "points by rank");
        for ((node, top), height) in self.points.iter().zip(&tops).zip(&heights) {
            let (full, saturation) = alarmed(node.saturation.as_ref());
            svg.frame((BOX.0, *top), (BOX.1, *height), if full { BAD } else { CALM });
            let middle = top + height / 2.0;
            let at = |line: f64| (BOX.0 + 12.0, line.mul_add(17.0, middle + 4.0));
            svg.text(at(-1.0), Anchor::Start, SOFT, (BOX.1 - 20.0, 11.0), &node.kind);
            svg.text(at(0.0), Anchor::Start, INK, (BOX.1 - 20.0, 13.0), &node.name);
            let colour = if full { BAD } else { SOFT };
            svg.text(at(1.0), Anchor::Start, colour, (BOX.1 - 20.0, 12.0), &saturation);
        }
        legend(&mut svg, HEAD + body + FOOT - 12.0);
        svg.finish()
    }

    /// The height of a point: its edges do not touch each other.
    fn height(&self, point: usize) -> f64 {
        let at = |column: &Column| column.edges.iter().filter(|edge| edge.point == point).count();
        (SLOT * at(&self.workloads).max(at(&self.destinations)) as f64 + 10.0).max(LEAST_BOX)
    }

    fn edges(&self, svg: &mut Svg, side: &Side<'_>, from: f64, tops: &[f64], heights: &[f64]) {
        let edges = &side.column.edges;
        let most = edges.iter().map(|edge| edge.connections).fold(1.0, f64::max);
        for edge in edges {
            let of_point: Vec<_> = edges.iter().filter(|other| other.point == edge.point).collect();
            let of_workload: Vec<_> = edges.iter().filter(|other| other.workload == edge.workload).collect();
            let place = |among: &[&Edge]| {
                let at = among.iter().position(|other| *other == edge).unwrap_or_default();
                (at as f64 + 0.5) / among.len() as f64
            };
            let row = from + ROW * edge.workload as f64;
            let here = place(&of_workload).mul_add(ROW - 8.0, row + 4.0);
            let there = place(&of_point).mul_add(heights[edge.point], tops[edge.point]);
            let (begin, end) = match side.has_ways {
                true => ((LEFT_BAR + BAR, here), (BOX.0, there)),
                false => ((BOX.0 + BOX.1, there), (RIGHT_BAR, here)),
            };
            let middle = f64::midpoint(begin.0, end.0);
            let d = format!(
                "M{:.1} {:.1}C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}",
                begin.0, begin.1, begin.1, end.1, end.0, end.1
            );
            let width = (THICK - THIN).mul_add((edge.connections / most).sqrt(), THIN);
            let (colour, dashes) = side.style(edge);
            let title = format!(
                "{} {}",
                self.points[edge.point].name,
                side.column.sentence(edge, side.has_ways)
            );
            svg.path(&d, colour, width, dashes, &title);
        }
    }
}

impl Side<'_> {
    fn labels(&self, svg: &mut Svg, from: f64) {
        for index in 0..self.column.nodes() {
            let top = ROW.mul_add(index as f64, from);
            svg.rect((self.bar, top + 3.0), (BAR, ROW - 6.0), SOFT);
            let label = self.column.label(index);
            svg.text((self.label, top + 16.0), self.anchor, INK, (LABEL, 12.0), &label);
        }
    }

    /// Colour and dashes: without another way out is a full line, which is what the ranking counts.
    const fn style(&self, edge: &Edge) -> (&'static str, &'static str) {
        if !self.has_ways {
            (SOFT, "")
        } else if edge.without_another_way == edge.workloads {
            (BAD, "")
        } else if edge.without_another_way + edge.with_another_way > 0 {
            (CALM, "9 4")
        } else {
            (SOFT, "2 4")
        }
    }
}

/// What the lines mean.
fn legend(svg: &mut Svg, y: f64) {
    let kinds = [
        (BAD, "", 175.0, "no other way out"),
        (CALM, "9 4", 210.0, "has another way, or some have"),
        (SOFT, "2 4", 165.0, "share not known"),
    ];
    let mut x = 4.0;
    for (colour, dashes, width, meaning) in kinds {
        svg.path(
            &format!("M{x:.1} {:.1}H{:.1}", y - 4.0, x + 36.0),
            colour,
            3.0,
            dashes,
            meaning,
        );
        svg.text((x + 44.0, y), Anchor::Start, SOFT, (240.0, 12.0), meaning);
        x += 44.0 + width;
    }
    svg.text(
        (WIDTH - 4.0, y),
        Anchor::End,
        SOFT,
        (220.0, 12.0),
        "thicker: more connections",
    );
}
