//! What the thread that runs the tick loop waits for: the next tick, failures, the end.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// The minimum time between two readings of the kernel's ring buffer of failures: a storm costs at most twenty readings a second.
pub const REST: Duration = Duration::from_millis(50);

/// When, and by what, the thread is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The latest time at which it is woken.
    until: Instant,
    /// Whether failures wake it earlier.
    by_failures: bool,
}

impl Plan {
    /// `looked` is when the ring was last read; `again` when something waits for another reading.
    pub fn new(now: Instant, next_tick: Instant, looked: Instant, again: bool) -> Self {
        let rested = looked + REST;
        let by_failures = now >= rested;
        let until = if by_failures && !again {
            next_tick
        } else {
            next_tick.min(rested.max(now))
        };
        Self { until, by_failures }
    }

    /// Waits. The agent ends when the other side of `stop` is closed.
    pub fn wait(self, stop: BorrowedFd<'_>, failures: BorrowedFd<'_>) -> Woken {
        let ending = PollFd::new(stop, PollFlags::POLLIN);
        let mut both = [ending, PollFd::new(failures, PollFlags::POLLIN)];
        let awaited = if self.by_failures {
            &mut both[..]
        } else {
            &mut both[..1]
        };
        match poll(awaited, timeout(self.until.saturating_duration_since(Instant::now()))) {
            Ok(_) if both[0].any() != Some(false) => Woken::End,
            Ok(_) if both[1].any() != Some(false) => Woken::Failures,
            Ok(_) | Err(Errno::EINTR) => Woken::Time,
            Err(_) => {
                // Out of memory: do not retry at once.
                std::thread::sleep(REST);
                Woken::Time
            }
        }
    }
}

/// What ended the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The agent is to end.
    End,
    /// The kernel has reported a failure.
    Failures,
    /// The time has come, or nearly.
    Time,
}

/// The time-out in whole milliseconds, rounded up: otherwise the loop would spin until the tick is due.
fn timeout(duration: Duration) -> PollTimeout {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::fd::AsFd};

    #[test]
    fn failures_wake_it_but_not_too_often() {
        let now = Instant::now();
        let tick = now + Duration::from_secs(60);
        let ms = Duration::from_millis;
        // Nothing has happened for a while.
        let plan = Plan::new(now, tick, now - REST, false);
        assert_eq!((plan.until, plan.by_failures), (tick, true));
        // The ring has just been read.
        let plan = Plan::new(now, tick, now - ms(10), false);
        assert_eq!((plan.until, plan.by_failures), (now + ms(40), false));
        // Something waits for an identity; the ring was read just now, or a while ago.
        let plan = Plan::new(now, tick, now, true);
        assert_eq!((plan.until, plan.by_failures), (now + REST, false));
        let plan = Plan::new(now, tick, now - ms(70), true);
        assert_eq!((plan.until, plan.by_failures), (now, true));
        // The tick is due first.
        let plan = Plan::new(now, now + ms(5), now, true);
        assert_eq!(plan.until, now + ms(5));
    }

    #[test]
    fn it_waits_for_each_of_the_three() {
        let (stop, stopped) = std::io::pipe().map(|(read, write)| (write, read)).expect("a pipe");
        let (failures, mut fail) = std::io::pipe().expect("a pipe");
        let wait = |millis, by_failures| {
            let until = Instant::now() + Duration::from_millis(millis);
            let plan = Plan { until, by_failures };
            let woken = plan.wait(stopped.as_fd(), failures.as_fd());
            (woken, Instant::now() >= until)
        };
        assert_eq!(wait(3, true), (Woken::Time, true));
        fail.write_all(b"!").expect("written");
        assert_eq!(wait(60_000, true), (Woken::Failures, false));
        assert_eq!(wait(3, false), (Woken::Time, true), "not interested in failures");
        drop(stop);
        assert_eq!(wait(60_000, false), (Woken::End, false));
    }

    #[test]
    fn a_part_of_a_millisecond_is_one() {
        for (nanos, millis) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(
                timeout(Duration::from_nanos(nanos)).as_millis(),
                Some(millis),
                "{nanos}"
            );
        }
        assert_eq!(timeout(Duration::MAX), PollTimeout::MAX);
    }
}
