//! Waiting between attempts.

use super::trouble::Trouble;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// The first wait.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits between attempts: twice as long each time, and never as long as the others do, so that the agents of a cluster do
/// not all come back at the same moment.
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

    /// Waits, and `shortest` besides.
    pub async fn pause(&mut self, shortest: Duration) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.failed.min(10)).min(LONGEST_WAIT);
        self.failed += 1;
        // A fresh random number: the keys of each `RandomState` are.
        let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        tokio::time::sleep(shortest + longest.mul_f64(0.5 + random / 2.0)).await;
    }
}
