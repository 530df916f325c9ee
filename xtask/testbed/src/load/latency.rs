//! Durations by powers of two of a microsecond, as the agent counts them.

use std::ops::AddAssign;
use std::time::Duration;

use agent_common::{BUCKETS, bucket};
use serde::{Deserialize, Serialize};

/// The number of durations in each bucket.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Counts, indexed by [`agent_common::bucket`].
    pub buckets: [u64; BUCKETS],
}

impl Latencies {
    /// Counts one duration in its bucket.
    pub fn note(&mut self, duration: Duration) {
        let us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.buckets[bucket(us)] += 1;
    }

    /// The number of all durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of the bucket that contains the percentile `p` (50.0, 99.0), in seconds: the duration is between half of
    /// it and it. `None` without durations; infinite in the last bucket, which has no bound.
    pub fn percentile(&self, p: f64) -> Option<f64> {
        let rank = (self.count() as f64 * p / 100.0).ceil().max(1.0);
        let mut below = 0.0;
        let at = self.buckets.iter().position(|n| {
            below += *n as f64;
            below >= rank
        })?;
        Some(if at == BUCKETS - 1 {
            f64::INFINITY
        } else {
            (1_u64 << (at + 1)) as f64 / 1e6
        })
    }
}

impl AddAssign for Latencies {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_above_it() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), None);
        for _ in 0..99 {
            latencies.note(Duration::from_micros(70));
        }
        latencies.note(Duration::from_millis(3));
        assert_eq!(latencies.count(), 100);
        assert_eq!(latencies.percentile(50.0), Some(128e-6));
        assert_eq!(latencies.percentile(99.0), Some(128e-6));
        assert_eq!(latencies.percentile(99.1), Some(4096e-6));
        latencies.note(Duration::from_secs(3600));
        assert_eq!(latencies.percentile(100.0), Some(f64::INFINITY));
    }
}
