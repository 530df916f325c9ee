//! How far apart something is done whose duration grows with the node.

use std::time::{Duration, Instant};

/// What is so short is done at each tick.
const SHORT: Duration = Duration::from_millis(10);

/// What is done at each tick, unless it takes so long that it would need more than a hundredth of a CPU: then less often.
#[derive(Clone, Copy, Debug)]
pub struct Spacing {
    next: Instant,
    last: Duration,
}

impl Spacing {
    /// It is due at once.
    pub fn new() -> Self {
        Self {
            next: Instant::now(),
            last: Duration::ZERO,
        }
    }

    /// Whether it is due.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// It was done at `begin`, and took so long. The shorter of two in a row counts: a thread may have to wait for a CPU in the middle of
    /// one, which says nothing about the next.
    pub fn took(&mut self, begin: Instant, took: Duration) {
        let usual = took.min(self.last);
        self.last = took;
        self.next = if usual <= SHORT { begin } else { begin + usual * 100 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_done_rarely() {
        let begin = Instant::now();
        let mut spacing = Spacing::new();
        assert!(spacing.is_due(Instant::now()));
        for took in [5, 9, 10] {
            spacing.took(begin, Duration::from_millis(took));
            assert!(spacing.is_due(begin));
        }
        // Twice, so that it is no accident.
        spacing.took(begin, Duration::from_millis(50));
        assert!(spacing.is_due(begin));
        spacing.took(begin, Duration::from_millis(60));
        assert!(!spacing.is_due(begin + Duration::from_millis(4_999)));
        assert!(spacing.is_due(begin + Duration::from_secs(5)));
    }

    #[test]
    fn one_that_was_held_up_changes_nothing() {
        let begin = Instant::now();
        let mut spacing = Spacing::new();
        spacing.took(begin, Duration::from_millis(1));
        spacing.took(begin, Duration::from_secs(3));
        assert!(spacing.is_due(begin));
        spacing.took(begin, Duration::from_millis(1));
        assert!(spacing.is_due(begin));
    }
}
