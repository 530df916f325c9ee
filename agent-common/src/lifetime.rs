//! How long connections of points live, and how old the open ones are.

use crate::{FlowKey, declare::counters};

/// The ages, in seconds, by which connections of points are counted. Those of Kubernetes' default grace (30 s) and of common longer
/// ones are among them, so that what a restart with such a grace cuts is counted rather than estimated.
pub const AGE_BOUNDS: [u32; 10] = [1, 5, 30, 60, 120, 300, 600, 3_600, 14_400, 86_400];

/// The number of classes of age: those below each bound, and the class beyond the last one.
pub const AGES: usize = AGE_BOUNDS.len() + 1;

/// The class of an age in nanoseconds: the number of [`AGE_BOUNDS`] that it has reached.
#[inline(always)]
#[must_use]
pub const fn age_class(ns: u64) -> usize {
    let seconds = ns / 1_000_000_000;
    let mut class = 0;
    while class < AGE_BOUNDS.len() && seconds >= AGE_BOUNDS[class] as u64 {
        class += 1;
    }
    class
}

counters! {
    /// How long the connections of a point lived that have ended, by [`crate::Role`]: client, server.
    Lifetimes<L = u64, W = u32> {
        /// Sums of the lifetimes, in milliseconds.
        sum_ms: [L; 2],
        /// Lifetimes by [`age_class`].
        ended: [[W; AGES]; 2],
    }
}

/// What the ages of open connections are counted by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AgeKey {
    /// Their flow.
    pub flow: FlowKey,
    /// The id of the process (`tgid`) that has them open; 0 when it is not known.
    pub process: u32,
    /// Zero, so that the structure has no implicit padding.
    pub reserved: u32,
}

/// The ages of the open connections of one flow in one process of a point, as one walk over open files found them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowAges<W = u32> {
    /// The number of that walk.
    pub walk: W,
    /// Open connections by [`age_class`].
    pub open: [W; AGES],
    /// Those of them of which one end has sent its FIN and the other one has not: first by the peer (CLOSE-WAIT), then by the point
    /// (FIN-WAIT-2).
    pub half_closed: [W; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_the_class_of_the_last_bound_that_it_has_reached() {
        const SECOND: u64 = 1_000_000_000;
        assert_eq!([0, SECOND - 1, SECOND, 5 * SECOND - 1].map(age_class), [0, 0, 1, 1]);
        assert_eq!(age_class(30 * SECOND), 3);
        assert_eq!(age_class(u64::MAX), AGES - 1);
    }
}
