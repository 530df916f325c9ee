//! Histograms of durations, in the kernel's buckets: powers of two of a microsecond.

use agent_common::BUCKETS;

/// Cumulative counts of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Number of durations in each bucket of [`agent_common::bucket`].
    pub buckets: [u64; BUCKETS],
    /// Exact sum, in microseconds.
    pub sum_us: u64,
}

/// Buckets below 2^4 µs are exported as one: finer ones answer no question.
const FINEST: usize = 3;

impl Histogram {
    /// Adds what the kernel has counted since the last reading.
    pub fn add(&mut self, buckets: &[u32; BUCKETS], sum_us: u64) {
        for (total, new) in self.buckets.iter_mut().zip(buckets) {
            *total += u64::from(*new);
        }
        self.sum_us += sum_us;
    }

    /// Adds one duration to its bucket.
    pub fn observe(&mut self, duration: std::time::Duration) {
        let us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.buckets[agent_common::bucket(us)] += 1;
        self.sum_us += u64::from(us);
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of the durations in seconds.
    pub fn sum(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// The durations that were added since `before`, an earlier state of the same series.
    pub fn since(&self, before: &Self) -> Self {
        let mut new = Self {
            sum_us: self.sum_us.saturating_sub(before.sum_us),
            ..Self::default()
        };
        for (new, (now, before)) in new.buckets.iter_mut().zip(self.buckets.iter().zip(before.buckets)) {
            *new = now.saturating_sub(before);
        }
        new
    }

    /// The duration in seconds that the share `q` of all durations does not exceed, interpolated within its bucket, so that it may be off
    /// by up to a factor of 2. The last bucket has no upper bound: there it is the lower one. `None` without durations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q * self.count() as f64;
        let mut below = 0.0;
        for (at, n) in self.buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
            let n = *n as f64;
            if below + n >= rank {
                let lower = if at == 0 { 0.0 } else { (1_u64 << at) as f64 / 1e6 };
                let upper = (1_u64 << (at + 1)) as f64 / 1e6;
                let part = ((rank - below) / n).clamp(0.0, 1.0);
                return Some(if at == BUCKETS - 1 {
                    lower
                } else {
                    lower + (upper - lower) * part
                });
            }
            below += n;
        }
        None
    }

    /// Upper bounds in seconds, each with the number of durations between it and the previous one.
    ///
    /// Durations are whole microseconds, rounded down, so those of bucket `i` lie below 2^(i+1) µs.
    pub fn exported(&self) -> Vec<(f64, u64)> {
        self.from(FINEST)
    }

    /// [`Histogram::exported`] with buckets down to a microsecond.
    pub fn exported_fine(&self) -> Vec<(f64, u64)> {
        self.from(0)
    }

    fn from(&self, finest: usize) -> Vec<(f64, u64)> {
        let fine: u64 = self.buckets[..=finest].iter().sum();
        let rest = (finest + 1..BUCKETS).map(|n| {
            let bound = if n == BUCKETS - 1 {
                f64::INFINITY
            } else {
                (1_u64 << (n + 1)) as f64 / 1e6
            };
            (bound, self.buckets[n])
        });
        std::iter::once(((1_u64 << (finest + 1)) as f64 / 1e6, fine))
            .chain(rest)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for _ in 0..98 {
            histogram.observe(Duration::from_micros(3));
        }
        let before = histogram.clone();
        for _ in 0..2 {
            histogram.observe(Duration::from_millis(900));
        }
        let median = histogram.quantile(0.5).expect("durations");
        assert!((2e-6..4e-6).contains(&median), "{median}");
        let worst = histogram.quantile(0.99).expect("durations");
        assert!((0.5..1.05).contains(&worst), "{worst}");
        let new = histogram.since(&before);
        assert_eq!((new.count(), new.sum_us), (2, 1_800_000));
        histogram = Histogram::default();
        histogram.observe(Duration::from_secs(4000));
        assert_eq!(histogram.quantile(0.99), Some(134.217_728), "the lower bound");
    }

    #[test]
    fn a_duration_lies_below_its_bound() {
        let mut histogram = Histogram::default();
        for us in [1, 15, 16, 31, 32, 1_000_000, 200_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let exported = histogram.exported();
        assert_eq!(exported[0], (0.000_016, 2));
        assert_eq!(exported[1], (0.000_032, 2));
        assert_eq!(exported[2], (0.000_064, 1));
        assert!(exported.contains(&(1.048_576, 1)));
        assert_eq!(exported.last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(exported.iter().map(|(_, n)| n).sum::<u64>(), histogram.count());
        assert!((histogram.sum() - 201.000_095).abs() < 1e-9);
    }
}
