//! Pressure stall information (PSI): how long threads of a group were stalled because a resource was short.

use std::{ops::Add, time::Duration};

/// The total stall times of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one thread was stalled.
    pub some: Duration,
    /// All threads that were not idle were stalled.
    pub full: Duration,
}

impl Add for Pressure {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            some: self.some + more.some,
            full: self.full + more.full,
        }
    }
}

/// Parses `cpu.pressure` or `memory.pressure`. Before Linux 5.13, `cpu.pressure` has no line `full`.
pub fn totals(text: &str) -> Option<Pressure> {
    let total = |scope: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(scope))?;
        let micros = line.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
        micros.parse().ok().map(Duration::from_micros)
    };
    Some(Pressure {
        some: total("some ")?,
        full: total("full ").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_in_microseconds() {
        let text =
            "some avg10=16.84 avg60=3.04 avg300=0.63 total=1962668\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let expected = Pressure {
            some: Duration::from_micros(1_962_668),
            full: Duration::from_micros(7),
        };
        assert_eq!(totals(text), Some(expected));
        let old = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        let expected = Pressure {
            some: Duration::from_micros(5),
            full: Duration::ZERO,
        };
        assert_eq!(totals(old), Some(expected));
        assert_eq!(totals(""), None);
    }
}
