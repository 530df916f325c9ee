//! The last hour of the points of this node, in bounded memory: see [`BOUND_BYTES`].

use crate::{api::Sample, clock::Millis, points::Point};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The time between two samples, unless ticks are further apart.
pub const RESOLUTION: Duration = Duration::from_secs(5);

/// Samples of a fine line: an hour.
const SAMPLES: usize = 720;

/// Points that have a fine line: the first ones, shared ones before others.
const FINE: usize = 200;

/// Samples of which a coarse line keeps the greatest values.
const EVERY: u64 = 12;

/// Points that have a coarse line: those that come after. Beyond them points have none.
const COARSE: usize = 1_000;

/// The most memory that all lines take, in bytes; names and the maps' own memory come to less than a hundredth of it.
#[cfg(test)]
const BOUND_BYTES: usize = 16 * 1024 * 1024;

/// The time lines of all points.
#[derive(Debug, Default)]
pub struct History {
    /// The number of samples taken so far, by any line.
    number: u64,
    /// When the last ones were taken; as many as a fine line has samples.
    times: VecDeque<Millis>,
    lines: HashMap<Arc<Point>, Line>,
    fine: usize,
}

/// The samples of one point, the newest last.
#[derive(Debug)]
struct Line {
    samples: VecDeque<Sample>,
    /// The number of samples that all lines had when the newest one was added.
    last: u64,
    /// For a coarse line, the greatest values since the last sample was kept.
    coarse: Option<Sample>,
}

impl Line {
    fn most(is_fine: bool) -> usize {
        if is_fine { SAMPLES } else { SAMPLES / EVERY as usize }
    }

    fn new(is_fine: bool, number: u64) -> Self {
        Self {
            // Exactly so many: a deque that grows would double.
            samples: VecDeque::with_capacity(Self::most(is_fine)),
            last: number,
            coarse: (!is_fine).then_some(Sample::UNKNOWN),
        }
    }

    fn keep(&mut self, sample: Sample) {
        if self.samples.len() == Self::most(self.coarse.is_none()) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Takes the sample with this number. Those that it missed, as the point was away, are unknown.
    fn take(&mut self, sample: Sample, number: u64) {
        let missed = (number - self.last).saturating_sub(1);
        match &mut self.coarse {
            None => (0..missed.min(SAMPLES as u64)).for_each(|_| self.keep(Sample::UNKNOWN)),
            Some(greatest) => {
                *greatest = greatest.greatest(sample);
                let missed = (number / EVERY - self.last / EVERY).saturating_sub(1);
                (0..missed.min(SAMPLES as u64 / EVERY)).for_each(|_| self.keep(Sample::UNKNOWN));
            }
        }
        match self.coarse {
            None => self.keep(sample),
            Some(greatest) if number / EVERY > self.last / EVERY => {
                self.coarse = Some(Sample::UNKNOWN);
                self.keep(greatest);
            }
            Some(_) => {}
        }
        self.last = number;
    }
}

/// A point's line, as it is told.
pub struct Told {
    /// How many samples each of these stands for, with the greatest values: 1 for a fine line.
    pub step: u64,
    /// The samples with their times, ascending.
    pub samples: Vec<(Millis, Sample)>,
}

impl History {
    /// Adds a sample of each point. Points that come first get fine lines while there are any.
    pub fn record(&mut self, time: Millis, samples: impl Iterator<Item = (Arc<Point>, Sample)>) {
        self.number += 1;
        if self.times.len() == SAMPLES {
            self.times.pop_front();
        }
        self.times.push_back(time);
        self.forget();
        for (point, sample) in samples {
            if !self.lines.contains_key(&point) {
                let is_fine = self.fine < FINE;
                if !is_fine && self.lines.len() - self.fine >= COARSE {
                    continue;
                }
                self.fine += usize::from(is_fine);
                self.lines.insert(point.clone(), Line::new(is_fine, self.number - 1));
            }
            if let Some(line) = self.lines.get_mut(&point) {
                line.take(sample, self.number);
            }
        }
    }

    /// Forgets points of which nothing in the last hour is known.
    fn forget(&mut self) {
        let number = self.number;
        self.lines.retain(|_, line| number - line.last < SAMPLES as u64);
        self.fine = self.lines.values().filter(|line| line.coarse.is_none()).count();
    }

    /// The samples of a point that are newer than this time; `None` when it has no line.
    pub fn of(&self, point: &Point, after: Option<Millis>) -> Option<Told> {
        let line = self.lines.get(point)?;
        let step = if line.coarse.is_none() { 1 } else { EVERY };
        // The number of each sample, the newest first, and its time if that is still known.
        let newest = line.last / step * step;
        let told = line.samples.iter().rev().enumerate().map_while(|(back, sample)| {
            let number = newest.checked_sub(back as u64 * step)?;
            let at = self
                .times
                .len()
                .checked_sub(usize::try_from(self.number - number).ok()? + 1)?;
            Some((*self.times.get(at)?, *sample))
        });
        let mut samples: Vec<_> = told
            .take_while(|(time, _)| after.is_none_or(|after| *time > after))
            .collect();
        samples.reverse();
        Some(Told { step, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Kind, Mesh};

    fn point(n: usize) -> Arc<Point> {
        Arc::new(Point {
            name: format!("shop/waypoint-{n}"),
            kind: Kind::Waypoint,
            mesh: Mesh::Istio,
            instance: format!("waypoint-{n}"),
        })
    }

    fn sample(value: f32) -> Sample {
        Sample {
            worst_saturation_ratio: value,
            ..Sample::UNKNOWN
        }
    }

    fn worst(told: &Told) -> Vec<(Millis, f32)> {
        let all = told.samples.iter();
        all.map(|(time, sample)| (*time, sample.worst_saturation_ratio))
            .collect()
    }

    #[test]
    fn an_hour_of_all_points_stays_within_the_bound() {
        let mut history = History::default();
        for tick in 0..2 * SAMPLES as Millis {
            // More than there may be lines.
            let all = (0..FINE + COARSE + 100).map(|n| (point(n), sample(0.5)));
            // Most ticks only a few, for speed.
            let some = if tick == 0 { usize::MAX } else { 3 };
            history.record(tick * 5_000, all.take(some));
            if tick == 0 {
                let kept: usize = history.lines.values().map(|line| line.samples.capacity()).sum();
                let most = FINE * SAMPLES + COARSE * SAMPLES / EVERY as usize;
                assert_eq!(kept, most, "exactly as many as are kept");
                let bytes = most * size_of::<Sample>() + SAMPLES * size_of::<Millis>();
                assert!(bytes < BOUND_BYTES, "{bytes} bytes");
                assert_eq!(history.lines.len(), FINE + COARSE);
            }
        }
        assert_eq!(history.lines.len(), 3, "the others are forgotten after an hour");
        assert_eq!(history.of(&point(0), None).expect("a line").samples.len(), SAMPLES);
        let capacity = history.lines.values().map(|line| line.samples.capacity()).max();
        assert_eq!(capacity, Some(SAMPLES), "it does not grow");
    }

    #[test]
    fn a_point_that_was_away_has_a_gap() {
        let mut history = History::default();
        for tick in 1..=5_u16 {
            let there = (tick == 1 || tick == 4).then(|| (point(0), sample(f32::from(tick))));
            let other = (point(1), sample(0.0));
            history.record(i64::from(tick) * 5_000, there.into_iter().chain([other]));
        }
        let told = history.of(&point(0), None).expect("a line");
        assert_eq!(told.step, 1);
        let found = worst(&told);
        assert_eq!(found.len(), 4);
        assert_eq!((found[0], found[3]), ((5_000, 1.0), (20_000, 4.0)));
        assert!(found[1].1.is_nan() && found[2].1.is_nan());
        assert_eq!(worst(&history.of(&point(0), Some(5_000)).expect("a line")).len(), 3);
        assert!(history.of(&point(2), None).is_none());
    }

    #[test]
    fn a_coarse_line_has_the_greatest_values() {
        let mut history = History::default();
        let last = FINE;
        for tick in 1..=30_u16 {
            let all = (0..=last).map(|n| (point(n), sample(f32::from(tick % 10))));
            history.record(i64::from(tick) * 5_000, all);
        }
        let told = history.of(&point(last), None).expect("a line");
        assert_eq!(told.step, EVERY);
        assert_eq!(worst(&told), [(60_000, 9.0), (120_000, 9.0)]);
    }
}
