//! Paths through points: which caller's traffic goes to which destination, and whom a failing destination hurts.

use super::{
    bounded::{Bounded, Tally},
    moment::Moment,
    pair::Pair,
};
use agent_common::{Certainty, PathCounts, PathKey, Reason};
use std::collections::VecDeque;

/// A path through a point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// Who called the point, and what the point called for it.
    pub pair: Pair,
    /// How the caller is known.
    pub certainty: Certainty,
}

/// The counters of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathTally {
    /// Upstream connections, counted when they first carry data or end without any.
    pub connections: u64,
    /// Flights of data that the point sent on them.
    pub turns: u64,
    /// Failed upstream connections by [`Reason`].
    pub failures: [u64; Reason::COUNT],
}

impl From<&PathCounts> for PathTally {
    fn from(counts: &PathCounts) -> Self {
        Self {
            connections: counts.connections,
            turns: counts.turns,
            failures: counts.failures,
        }
    }
}

impl Tally for PathTally {
    // When the reason of a failure is corrected, one is subtracted from where it was counted.
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.turns += other.turns;
        for (total, new) in self.failures.iter_mut().zip(other.failures) {
            *total = total.wrapping_add(new);
        }
    }

    fn uses(&self) -> (i64, u64) {
        (0, self.connections + self.turns)
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn of_open(_open: i64) -> Self {
        Self::default()
    }
}

/// The paths through one point.
pub type Paths = Bounded<Path, PathTally>;

/// Counts that wait for the identities of both ends.
#[derive(Debug, Default)]
pub struct WaitingPaths(pub(super) VecDeque<WaitingPath>);

/// What was counted for one path in one interval.
#[derive(Debug)]
pub(super) struct WaitingPath {
    pub(super) key: PathKey,
    pub(super) counts: PathCounts,
    pub(super) when: Moment,
}
