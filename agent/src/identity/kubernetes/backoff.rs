//! Exponential backoff with jitter between attempts.

use super::{random::random, trouble::Trouble};
use std::time::Duration;

/// The wait after the first failed attempt.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The upper bound of the backoff.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The upper bound of the backoff while a refusal may come from an API server that is starting.
const LONGEST_WAIT_FOR_ROLES: Duration = Duration::from_secs(5);

/// Exponential backoff: the wait doubles with each attempt, and is randomized so that the agents of a cluster do not all retry at
/// the same moment.
#[derive(Default)]
pub struct Backoff {
    /// Attempts that failed in a row.
    failed: u32,
}

impl Backoff {
    /// Waits after a failed attempt, at least for as long as the API server asks for. `is_lasting`: a refusal has lasted.
    pub async fn after(&mut self, trouble: &Trouble, is_lasting: bool) {
        let longest = match trouble.is_forbidden() && !is_lasting {
            true => LONGEST_WAIT_FOR_ROLES,
            false => LONGEST_WAIT,
        };
        self.wait(trouble.retry_after.min(2 * LONGEST_WAIT), longest).await;
    }

    /// Waits for the backoff, and for `shortest` in addition.
    pub async fn pause(&mut self, shortest: Duration) {
        self.wait(shortest, LONGEST_WAIT).await;
    }

    async fn wait(&mut self, shortest: Duration, longest: Duration) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failed.min(10)).min(longest);
        self.failed += 1;
        tokio::time::sleep(shortest + wait.mul_f64(0.5 + random() / 2.0)).await;
    }
}
