//! The wall clock, used by people and Kubernetes, and the boot clock, used by the kernel.

use jiff::Timestamp;
use nix::time::ClockId;

/// Milliseconds since 1970. Times of Kubernetes objects are compared with times of this node, so clocks of nodes that differ by
/// more than a second blur the time of a change.
pub type Millis = i64;

/// The wall-clock time.
pub fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// The offset of the wall clock from the boot clock.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    ahead_ns: i128,
}

impl BootClock {
    /// The current offset. The wall clock may be set at any time, so do not keep the offset for long.
    pub fn now() -> Self {
        // Both clocks exist on every Linux.
        let read = |clock: ClockId| {
            clock.now().map_or(0, |time| {
                i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
            })
        };
        Self {
            ahead_ns: read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_MONOTONIC),
        }
    }

    /// The wall-clock time, in milliseconds since 1970, at `boot_ns` nanoseconds of the boot clock.
    pub fn millis(self, boot_ns: u64) -> Millis {
        i64::try_from((i128::from(boot_ns) + self.ahead_ns).div_euclid(1_000_000)).unwrap_or_default()
    }
}

/// Formats a time in milliseconds since 1970 as RFC 3339 with milliseconds, UTC.
pub fn rfc3339(millis: Millis) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_becomes_the_time_of_day() {
        let boot = ClockId::CLOCK_MONOTONIC.now().expect("a clock");
        let boot = u64::try_from(boot.tv_sec()).expect("positive") * 1_000_000_000;
        let (found, now) = (BootClock::now().millis(boot), Timestamp::now().as_millisecond());
        // The fraction of the second was dropped.
        assert!((now - 2_000..=now).contains(&found), "{found}, now {now}");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(1_763_889_123_045), "2025-11-23T09:12:03.045Z");
        assert_eq!(rfc3339(1_763_889_123_000), "2025-11-23T09:12:03.000Z");
    }
}
