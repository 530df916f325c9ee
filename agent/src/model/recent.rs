//! Counts events in a sliding window, in a few bytes.

use std::time::{Duration, Instant};

/// The window slides in so many steps.
const STEPS: u32 = 5;

/// One more slot than steps, as the newest step has only begun: what is older than the window by less than a step still counts.
const SLOTS: usize = STEPS as usize + 1;

/// Maps time to the steps of a window.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begin: Instant,
    step: Duration,
}

impl Clock {
    /// For a window of this length.
    pub fn new(window: Duration) -> Self {
        Self {
            begin: Instant::now(),
            step: window.max(Duration::from_millis(5)) / STEPS,
        }
    }

    /// The step in which a moment lies.
    pub fn step(&self, at: Instant) -> u32 {
        let steps = at.saturating_duration_since(self.begin).as_nanos() / self.step.as_nanos();
        u32::try_from(steps).unwrap_or(u32::MAX)
    }
}

/// Events in the window, which slides in steps of a fifth: the oldest counted event is between one window and six fifths of one
/// old.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    slots: [u32; SLOTS],
    newest: u32,
}

impl Recent {
    /// Counts `n` events in a step; steps are given in order.
    pub fn add(&mut self, n: u64, step: u32) {
        let missed = step.saturating_sub(self.newest).min(SLOTS as u32);
        for back in 0..missed {
            self.slots[(step - back) as usize % SLOTS] = 0;
        }
        self.newest = self.newest.max(step);
        let slot = &mut self.slots[self.newest as usize % SLOTS];
        *slot = slot.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
    }

    /// The number of events in the window that ends with a step.
    pub fn sum(&self, step: u32) -> u64 {
        let missed = step.saturating_sub(self.newest);
        (0..(SLOTS as u32).saturating_sub(missed))
            .filter_map(|back| self.newest.checked_sub(back))
            .map(|step| u64::from(self.slots[step as usize % SLOTS]))
            .sum()
    }
}

/// Connections that were open at some time in the window: those open now, and those that ended in it. Failed attempts count as
/// ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Connections that are open now.
    pub open: i64,
    /// Connections that ended in the window.
    pub ended: Recent,
}

impl Use {
    /// Adds connections that opened (less those that ended), and those that ended.
    pub fn add(&mut self, opened: i64, ended: u64, step: u32) {
        self.open += opened;
        if ended > 0 {
            self.ended.add(ended, step);
        }
    }

    /// The number of connections.
    pub fn amount(&self, step: u32) -> u64 {
        self.open.max(0).cast_unsigned() + self.ended.sum(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut recent = Recent::default();
        recent.add(3, 0);
        recent.add(4, 2);
        assert_eq!([0, 2, 5].map(|step| recent.sum(step)), [7, 7, 7]);
        assert_eq!([6, 7, 8, 1_000].map(|step| recent.sum(step)), [4, 4, 0, 0]);
        recent.add(1, 9);
        assert_eq!(recent.sum(9), 1);
        recent.add(1, 4_000_000_000);
        assert_eq!(recent.sum(4_000_000_000), 1);
    }

    #[test]
    fn slots_are_used_again_and_again() {
        let mut recent = Recent::default();
        for step in 0..100 {
            recent.add(1, step);
            assert_eq!(recent.sum(step), u64::from(step + 1).min(SLOTS as u64));
        }
    }

    #[test]
    fn a_long_connection_counts_as_long_as_it_is_open() {
        let mut used = Use::default();
        used.add(1, 0, 0);
        assert_eq!(used.amount(1_000), 1);
        used.add(-1, 1, 1_000);
        assert_eq!(used.amount(1_000), 1);
        assert_eq!(used.amount(1_010), 0);
    }

    #[test]
    fn steps_are_fifths_of_the_window() {
        let clock = Clock::new(Duration::from_secs(900));
        let after = |seconds| clock.step(clock.begin + Duration::from_secs(seconds));
        assert_eq!([0, 179, 180, 900].map(after), [0, 0, 1, 5]);
    }
}
