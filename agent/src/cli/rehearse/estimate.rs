//! What a restart would cut, from the ages of open connections and from the lifetimes of those that have ended.
//!
//! A restart that begins at `t` and waits for a grace `G` cuts, at `t + G`, the connections that were opened before `t` and are still
//! open: those that are then at least `G` old. Their mean number over a time is, by Little's law, the rate of new connections times the
//! mean of what is left of a lifetime beyond `G`.

use agent_common::AGE_BOUNDS;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The best guess; the exact number where `least` and `most` are equal.
    pub connections: f64,
    /// The least that it can be.
    pub least: f64,
    /// The most that it can be.
    pub most: f64,
}

impl Estimate {
    /// None, or 0, for sure.
    const NONE: Self = Self {
        connections: 0.0,
        least: 0.0,
        most: 0.0,
    };

    fn each(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            connections: of(self.connections, other.connections),
            least: of(self.least, other.least),
            most: of(self.most, other.most),
        }
    }

    /// The mean of some; 0 of none.
    pub fn mean(all: impl Iterator<Item = Self>) -> Self {
        let (n, sum) = all.fold((0.0, Self::NONE), |(n, sum), it| (n + 1.0, sum.each(it, |a, b| a + b)));
        sum.each(sum, |sum, _| if n > 0.0 { sum / n } else { 0.0 })
    }

    /// The highest of some; 0 of none.
    pub fn highest(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::NONE, |most, it| most.each(it, f64::max))
    }
}

/// Open connections of one moment that have reached each of [`AGE_BOUNDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ages(pub [f64; AGE_BOUNDS.len()]);

impl Ages {
    /// The connections that are at least as old as `grace`, which must not be below the first bound. Between two bounds it is not known
    /// how many there are: their number is taken to fall evenly with the logarithm of the age.
    pub fn cut(&self, grace: Duration) -> Estimate {
        let grace = grace.as_secs_f64();
        let reached = AGE_BOUNDS.iter().filter(|bound| f64::from(**bound) <= grace).count();
        let below = reached.saturating_sub(1);
        let (from, most) = (f64::from(AGE_BOUNDS[below]), self.0[below]);
        let Some(to) = AGE_BOUNDS.get(reached).filter(|_| grace > from) else {
            // Beyond the last bound nothing is known but that there are no more than at it.
            let least = if grace > from { 0.0 } else { most };
            return Estimate {
                connections: most,
                least,
                most,
            };
        };
        let least = self.0[reached];
        let way = (grace / from).ln() / (f64::from(*to) / from).ln();
        Estimate {
            connections: most + (least - most) * way,
            least,
            most,
        }
    }
}

impl Ages {
    /// The highest number at each age.
    pub fn highest<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let most = |most: Self, it: &Self| Self(std::array::from_fn(|age| most.0[age].max(it.0[age])));
        all.fold(Self::default(), most)
    }

    /// The shortest of the counted graces that spares nearly all connections that the longest one would; `None` if that spares none more
    /// than the shortest.
    pub fn useful(&self) -> Option<Duration> {
        let [first, .., last] = self.0;
        let left = (first - last) * (1.0 - NEARLY_ALL);
        let age = self.0.iter().position(|n| *n - last <= left)?;
        (first > last).then(|| Duration::from_secs(AGE_BOUNDS[age].into()))
    }
}

/// This part of the connections is nearly all of them.
const NEARLY_ALL: f64 = 0.95;

/// The lifetimes of connections that ended within a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lifetimes {
    /// Upper bounds in seconds, in order, each with the number of connections that did not live longer.
    pub buckets: Vec<(f64, f64)>,
    /// The sum of all lifetimes, in seconds.
    pub sum: f64,
    /// The time within which they ended, in seconds.
    pub time: f64,
}

impl Lifetimes {
    /// The mean number of connections that a restart would have cut: the time that connections lived beyond `grace`, divided by the time
    /// within which they ended. `None` without any. It is the sum of all lifetimes without the parts up to `grace`, of which only the
    /// buckets are known.
    pub fn cut(&self, grace: Duration) -> Option<Estimate> {
        let all = self.buckets.last().map(|(_, n)| *n).filter(|n| *n > 0.0)?;
        let grace = grace.as_secs_f64();
        // The integral of the number that lived longer than t, from 0 to the grace: that number falls from one bound to the next.
        let (mut least, mut most) = (0.0, 0.0);
        let (mut from, mut alive) = (0.0, all);
        for (bound, ended) in &self.buckets {
            let to = bound.min(grace);
            let at_end = all - ended;
            least += (to - from) * at_end;
            most += (to - from) * alive;
            if *bound >= grace {
                break;
            }
            (from, alive) = (*bound, at_end);
        }
        let rest = |part: f64| ((self.sum - part) / self.time).max(0.0);
        Some(Estimate {
            connections: rest(f64::midpoint(least, most)),
            least: rest(most),
            most: rest(least),
        })
    }
}

/// A time at which a restart would have cut few.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// When it begins, in seconds since 1970: the beginning of the restart, not its end.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// The mean number of connections that a restart in it would have cut.
    pub mean: Estimate,
    /// The most that a restart in it would have cut.
    pub most: Estimate,
}

/// A restart that would have ended at some time.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// When it would have ended, in seconds since 1970.
    pub end: f64,
    /// What it would have cut, as far as instances were observed.
    pub cut: Estimate,
    /// Whether all instances were observed.
    pub is_whole: bool,
}

/// The slot of `length` seconds in which a restart would have cut fewest on average, from restarts that ended `step` seconds apart. Slots
/// of which less than half was observed do not count, nor those in which an instance was not: they look better than they are.
pub fn fewest(course: &[Restart], grace: Duration, (step, length): (f64, f64)) -> Option<Slot> {
    let slot = |restart: &Restart| ((restart.end - grace.as_secs_f64()) / length).floor();
    let slots = course.chunk_by(|one, next| slot(one) == slot(next));
    let of = |restarts: &[Restart]| {
        let cuts = || restarts.iter().map(|restart| restart.cut);
        let from = slot(restarts.first()?) * length;
        let is_observed =
            restarts.len() as f64 * step >= length / 2.0 && restarts.iter().all(|restart| restart.is_whole);
        is_observed.then(|| Slot {
            from,
            to: from + length,
            mean: Estimate::mean(cuts()),
            most: Estimate::highest(cuts()),
        })
    };
    slots.filter_map(of).min_by(|one, other| {
        let key = |slot: &Slot| (slot.mean.connections, slot.most.connections);
        key(one).partial_cmp(&key(other)).unwrap_or(std::cmp::Ordering::Equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn exact(n: f64) -> Estimate {
        Estimate {
            connections: n,
            least: n,
            most: n,
        }
    }

    #[test]
    fn at_a_bound_it_is_exact_and_between_two_within_them() {
        let ages = Ages([100.0, 90.0, 40.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(ages.cut(seconds(1)), exact(100.0));
        assert_eq!(ages.cut(seconds(30)), exact(40.0));
        let between = ages.cut(seconds(45));
        assert_eq!((between.least, between.most), (20.0, 40.0));
        assert!((28.0..29.0).contains(&between.connections), "{between:?}");
        assert_eq!(ages.cut(seconds(86_400)), exact(0.0));
        let last = Ages([7.0; 10]).cut(seconds(90_000));
        assert_eq!((last.least, last.most), (0.0, 7.0));
    }

    #[test]
    fn both_ways_agree_where_connections_come_and_go_evenly() {
        // One a second, each of which lives 100 s: 100 are open, and 70 of them are at least 30 s old.
        let buckets = [1.0, 5.0, 30.0, 60.0].map(|bound| (bound, 0.0)).into_iter();
        let lifetimes = Lifetimes {
            buckets: buckets.chain([(120.0, 1_000.0), (f64::INFINITY, 1_000.0)]).collect(),
            sum: 100_000.0,
            time: 1_000.0,
        };
        let cut = lifetimes.cut(seconds(30)).expect("known");
        assert_eq!((cut.least, cut.connections, cut.most), (70.0, 70.0, 70.0));
        // Within the bucket from 60 s to 120 s it is not known when they ended.
        let cut = lifetimes.cut(seconds(90)).expect("known");
        assert_eq!((cut.least, cut.most), (10.0, 40.0));
        assert_eq!(Lifetimes::default().cut(seconds(30)), None);
    }

    #[test]
    fn the_best_slot_is_the_one_in_which_the_restart_begins() {
        let hour = 3_600.0;
        // Every ten minutes for four hours; in the third, few are cut by restarts that end then.
        let restart = |n: i32| Restart {
            end: f64::from(n) * 600.0,
            cut: exact(if (12..18).contains(&n) { 1.0 } else { 9.0 }),
            is_whole: true,
        };
        let mut course: Vec<_> = (0..24).map(restart).collect();
        let slot = fewest(&course, Duration::ZERO, (600.0, hour)).expect("there is one");
        assert_eq!(
            (slot.from, slot.to, slot.mean, slot.most),
            (2.0 * hour, 3.0 * hour, exact(1.0), exact(1.0))
        );
        // With a grace of an hour the restart has to begin an hour earlier.
        let slot = fewest(&course, seconds(3_600), (600.0, hour)).expect("there is one");
        assert_eq!(slot.from, hour);
        assert_eq!(
            fewest(&course[..2], Duration::ZERO, (600.0, hour)),
            None,
            "hardly observed"
        );
        // An instance was not observed for ten minutes of it.
        course[13].is_whole = false;
        let slot = fewest(&course, Duration::ZERO, (600.0, hour)).expect("there is one");
        assert_eq!((slot.from, slot.mean), (0.0, exact(9.0)));
    }

    #[test]
    fn a_grace_is_useful_as_long_as_connections_end() {
        let useful = |ages| Ages(ages).useful();
        // 40 never end; of the others, 3 are left at 60 s.
        let ages = [100.0, 90.0, 60.0, 43.0, 42.0, 40.0, 40.0, 40.0, 40.0, 40.0];
        assert_eq!(useful(ages), Some(seconds(60)));
        assert_eq!(useful([40.0; 10]), None, "none ends");
        assert_eq!(useful([0.0; 10]), None);
        let mut ages = [100.0; 10];
        ages[9] = 0.0;
        assert_eq!(useful(ages), Some(seconds(86_400)));
    }
}
