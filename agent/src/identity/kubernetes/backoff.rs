//! Exponential backoff with jitter between attempts.

use super::trouble::Trouble;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// The wait after the first failed attempt.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The upper bound of the backoff.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Exponential backoff: the wait doubles with each attempt, and is randomized so that the agents of a cluster do not all retry at
/// the same moment.
#[derive(Default)]
pub struct Backoff {
    /// Attempts that failed in a row.
    pub failed: u32,
}

impl Backoff {
    /// Waits after a failed attempt, at least for as long as the API server asks for.
    pub async fn after(&mut self, trouble: &Trouble) {
        self.pause(trouble.retry_after.min(2 * LONGEST_WAIT)).await;
    }

    /// Waits for the backoff, and for `shortest` in addition.
    pub async fn pause(&mut self, shortest: Duration) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.failed.min(10)).min(LONGEST_WAIT);
        self.failed += 1;
        // A fresh random number: `RandomState` has random keys.
        let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        tokio::time::sleep(shortest + longest.mul_f64(0.5 + random / 2.0)).await;
    }
}
