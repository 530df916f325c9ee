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
