//! The ranking as bars: the score, and the two figures that it depends on most.

use super::{
    FULL, WIDTH, alarmed,
    svg::{Anchor, BAD, CALM, INK, PALE, SOFT, Svg},
};
use crate::cli::report::{block::NOT_KNOWN, findings::Rank};

/// The number of points that are drawn.
const POINTS: usize = 12;

/// The height of a row, and of its bars, in pixels.
const ROW: f64 = 30.0;
const BAR: f64 = 14.0;

/// Above the rows, and below them.
const HEAD: f64 = 30.0;
const FOOT: f64 = 30.0;

/// Where the columns begin.
const SCORE: f64 = 300.0;
const DEPENDENTS: f64 = 510.0;
const SATURATION: f64 = 735.0;

/// How long the longest bar of a column is.
const LONGEST: f64 = 130.0;

/// The first points of the ranking.
pub struct Bars<'a> {
    /// These, the most critical first.
    pub rows: &'a [Rank],
    /// How many are not drawn.
    pub more: usize,
}

impl<'a> Bars<'a> {
    /// The picture of a ranking; `None` where it is empty.
    pub fn of(ranking: &'a [Rank]) -> Option<Self> {
        (!ranking.is_empty()).then(|| {
            let (rows, more) = ranking.split_at(POINTS.min(ranking.len()));
            Self { rows, more: more.len() }
        })
    }

    /// What is not drawn; empty where all is.
    pub fn left_out(&self) -> String {
        match self.more {
            0 => String::new(),
            n => format!("Not drawn: {n} more points, with lower ranks."),
        }
    }

    /// Draws it.
    pub fn draw(&self) -> String {
        let height = ROW.mul_add(self.rows.len() as f64, HEAD + FOOT);
        let title = "The points with the highest rank: score, dependents, and highest saturation. The table beside it has the same numbers.";
        let mut svg = Svg::new(WIDTH, height, title);
        for (x, head) in [
            (0.0, "point"),
            (SCORE, "score"),
            (DEPENDENTS, "dependents"),
            (SATURATION, "highest saturation"),
        ] {
            svg.text((x, 16.0), Anchor::Start, SOFT, (210.0, 12.0), head);
        }
        let most = |figure: fn(&Rank) -> f64| self.rows.iter().map(figure).fold(0.0, f64::max);
        let score = most(|rank| rank.score.unwrap_or_default());
        let dependents = most(|rank| rank.dependents as f64);
        for (index, rank) in self.rows.iter().enumerate() {
            let top = ROW.mul_add(index as f64, HEAD);
            let base = top + 16.0;
            svg.text(
                (0.0, base),
                Anchor::Start,
                INK,
                (SCORE - 12.0, 12.0),
                &format!("{} {}", rank.kind, rank.point),
            );
            let bar = top + 5.0;
            let written = rank
                .score
                .map_or_else(|| NOT_KNOWN.into(), |score| format!("{score:.2}"));
            let length = rank.score.map_or(0.0, |it| part(it, score) * LONGEST);
            svg.rect((SCORE, bar), (length, BAR), INK);
            svg.text((SCORE + length + 6.0, base), Anchor::Start, INK, (80.0, 12.0), &written);
            dependents_of(&mut svg, rank, dependents, (bar, base));
            saturation_of(&mut svg, rank, (bar, base));
        }
        legend(&mut svg, height - 8.0);
        svg.finish()
    }
}

fn part(value: f64, most: f64) -> f64 {
    if most > 0.0 { value / most } else { 0.0 }
}

/// Those without another way, then the others.
fn dependents_of(svg: &mut Svg, rank: &Rank, most: f64, (bar, base): (f64, f64)) {
    let length = part(rank.dependents as f64, most) * LONGEST;
    let only = rank.without_another_way.map_or(0.0, |n| part(n as f64, most) * LONGEST);
    svg.rect((DEPENDENTS, bar), (length, BAR), CALM);
    svg.rect((DEPENDENTS, bar), (only, BAR), BAD);
    let written = match rank.without_another_way {
        Some(only) => format!("{only} of {}", rank.dependents),
        None => format!("? of {}", rank.dependents),
    };
    svg.text(
        (DEPENDENTS + length + 6.0, base),
        Anchor::Start,
        INK,
        (90.0, 12.0),
        &written,
    );
}

fn saturation_of(svg: &mut Svg, rank: &Rank, (bar, base): (f64, f64)) {
    let known = rank.saturation.zip(rank.resource.clone());
    let (full, written) = alarmed(known.as_ref());
    if let Some((ratio, _)) = known {
        const WHOLE: f64 = 80.0;
        svg.rect((SATURATION, bar), (WHOLE, BAR), PALE);
        svg.rect(
            (SATURATION, bar),
            (WHOLE * ratio.clamp(0.0, 1.0), BAR),
            if full { BAD } else { CALM },
        );
        svg.rect((WHOLE.mul_add(FULL, SATURATION), bar - 2.0), (1.0, BAR + 4.0), INK);
        svg.text(
            (SATURATION + WHOLE + 6.0, base),
            Anchor::Start,
            INK,
            (144.0, 12.0),
            &written,
        );
    } else {
        svg.text((SATURATION, base), Anchor::Start, SOFT, (200.0, 12.0), &written);
    }
}

/// What the colours and the mark mean.
fn legend(svg: &mut Svg, y: f64) {
    for (x, colour, meaning) in [
        (DEPENDENTS, BAD, "no other way out (first number)"),
        (SATURATION, BAD, "▲ above the mark at 85 %"),
    ] {
        svg.rect((x, y - 10.0), (12.0, 12.0), colour);
        svg.text((x + 18.0, y), Anchor::Start, SOFT, (230.0, 12.0), meaning);
    }
}
