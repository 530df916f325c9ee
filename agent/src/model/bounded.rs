//! Tracks a bounded number of keys in detail and sums the others: hostile or broken callers cannot raise the cost, and totals stay
//! exact.

use super::recent::Use;
use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// The counters of one key.
pub trait Tally: Clone + Default + PartialEq {
    /// Adds the counters of `other`.
    fn add(&mut self, other: &Self);
    /// Connections open (less those that ended), and those that ended: the measure by which keys are ranked.
    fn uses(&self) -> (i64, u64);
    /// Whether there was any traffic: the end of a connection alone is none.
    fn is_traffic(&self) -> bool;
    /// Counters with open connections and nothing else.
    fn of_open(open: i64) -> Self;
}

/// When a key last had traffic, and how much recently.
#[derive(Clone, Copy, Debug)]
struct Life {
    last_traffic: Instant,
    used: Use,
}

impl Life {
    fn add<T: Tally>(&mut self, tally: &T, now: Instant, step: u32) {
        let (open, ended) = tally.uses();
        self.used.add(open, ended, step);
        if tally.is_traffic() {
            self.last_traffic = now;
        }
    }

    fn is_active(&self, window: Duration, now: Instant) -> bool {
        self.used.open > 0 || now.saturating_duration_since(self.last_traffic) <= window
    }
}

#[derive(Clone, Debug)]
struct Tracked<T> {
    tally: T,
    life: Life,
}

/// The counters of one key that is tracked in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<K, T> {
    /// What the counters belong to.
    pub key: K,
    /// What was counted since the key is tracked in detail.
    pub tally: T,
    /// Whether it has traffic in the window, or connections open.
    pub active: bool,
}

/// The busiest keys in detail, the others summed.
///
/// Each count stays permanently in one of four places: with the key in detail, with the keys beyond the bound (`other`), with keys
/// that used to be in detail (`former`), or without a known key (`unknown`).
#[derive(Clone, Debug)]
pub struct Bounded<K, T> {
    most: usize,
    tracked: HashMap<K, Tracked<T>>,
    /// Keys beyond the bound; they are counted, but have no series.
    beyond: HashMap<K, Life>,
    other: T,
    former: T,
    unknown: T,
    /// How often a key was rejected even there.
    rejected: u64,
    /// The step in which detailed places were last reassigned.
    changed: u32,
}

/// Upper bound for remembered keys beyond the bound, as a multiple of it.
const REMEMBERED: usize = 50;

/// A key beyond the bound replaces another one when it is so many times as busy, so that series do not flap.
const BUSIER: u64 = 2;

impl<K: Clone + Eq + Hash + Ord, T: Tally> Bounded<K, T> {
    /// No keys yet; at most `most` will be in detail.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tracked: HashMap::new(),
            beyond: HashMap::new(),
            other: T::default(),
            former: T::default(),
            unknown: T::default(),
            rejected: 0,
            changed: 0,
        }
    }

    /// Counts for the key `who`; `None` when it is not known.
    pub fn add(&mut self, who: Option<&K>, tally: &T, now: Instant, step: u32) {
        if *tally == T::default() {
            return;
        }
        let Some(who) = who else { return self.unknown.add(tally) };
        if let Some(tracked) = self.tracked.get_mut(who) {
            tracked.tally.add(tally);
            tracked.life.add(tally, now, step);
            return;
        }
        let mut life = Life {
            last_traffic: now,
            used: Use::default(),
        };
        if let Some(life) = self.beyond.get_mut(who) {
            self.other.add(tally);
            life.add(tally, now, step);
        } else if self.tracked.len() < self.most {
            life.add(tally, now, step);
            let tally = tally.clone();
            self.tracked.insert(who.clone(), Tracked { tally, life });
        } else {
            self.other.add(tally);
            if !tally.is_traffic() {
                return;
            }
            if self.beyond.len() < self.most * REMEMBERED {
                life.add(tally, now, step);
                self.beyond.insert(who.clone(), life);
            } else {
                self.rejected += 1;
            }
        }
    }

    /// Forgets keys beyond the bound whose traffic is older than the window. While there are such keys, keys in detail that are as
    /// old are replaced by the busiest of them; and, once per step, so are keys that are far less busy.
    pub fn expire(&mut self, window: Duration, now: Instant, step: u32) {
        self.beyond.retain(|_, life| life.is_active(window, now));
        if self.beyond.is_empty() {
            return;
        }
        let idle = self.tracked.iter().filter(|(_, it)| !it.life.is_active(window, now));
        let idle: Vec<K> = idle.map(|(who, _)| who.clone()).collect();
        for who in idle {
            self.demote(&who, false);
        }
        let room = self.most.saturating_sub(self.tracked.len());
        if room == 0 && self.changed == step {
            return;
        }
        let mut waiting: Vec<(u64, K)> = self
            .beyond
            .iter()
            .map(|(who, life)| (life.used.amount(step), who.clone()))
            .collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        let mut waiting = waiting.into_iter();
        for (_, who) in waiting.by_ref().take(room) {
            self.promote(&who, now);
        }
        if self.changed == step {
            return;
        }
        self.changed = step;
        let mut tracked: Vec<(u64, K)> = self
            .tracked
            .iter()
            .map(|(who, it)| (it.life.used.amount(step), who.clone()))
            .collect();
        tracked.sort_unstable();
        for ((busy, new), (idle, old)) in waiting.zip(tracked) {
            if busy <= BUSIER * idle {
                break;
            }
            self.demote(&old, true);
            self.promote(&new, now);
        }
    }

    /// Ends the series of a key. What it counted moves to `former`, so that the rate of `other` stays that of the others;
    /// connections it has open end there.
    fn demote(&mut self, who: &K, remembered: bool) {
        let Some(mut tracked) = self.tracked.remove(who) else {
            return;
        };
        let open = tracked.life.used.open;
        self.other.add(&T::of_open(open));
        tracked.tally.add(&T::of_open(-open));
        self.former.add(&tracked.tally);
        if remembered {
            self.beyond.insert(who.clone(), tracked.life);
        }
    }

    /// Starts the series of a key, at 0.
    fn promote(&mut self, who: &K, now: Instant) {
        let life = self.beyond.remove(who).unwrap_or(Life {
            last_traffic: now,
            used: Use::default(),
        });
        let tally = T::of_open(life.used.open);
        self.other.add(&T::of_open(-life.used.open));
        self.tracked.insert(who.clone(), Tracked { tally, life });
    }

    /// All keys with traffic in the window or open connections, in detail or not.
    pub fn active(&self, window: Duration, now: Instant) -> impl Iterator<Item = &K> {
        let tracked = self.tracked.iter().map(|(who, it)| (who, &it.life));
        tracked
            .chain(&self.beyond)
            .filter(move |(_, life)| life.is_active(window, now))
            .map(|(who, _)| who)
    }

    /// How unevenly the connections of the window are spread: the sum of the squares of the shares (Herfindahl index), 1 when a
    /// single key has all. `None` without any.
    pub fn concentration(&self, step: u32) -> Option<f64> {
        let tracked = self.tracked.values().map(|it| &it.life);
        let lives = tracked.chain(self.beyond.values());
        let (sum, squares) = lives
            .map(|life| life.used.amount(step) as f64)
            .fold((0.0, 0.0), |(sum, squares), n| (sum + n, squares + n * n));
        (sum > 0.0).then(|| squares / (sum * sum))
    }

    /// The keys in detail, in a stable order.
    pub fn rows(&self, window: Duration, now: Instant) -> Vec<Row<K, T>> {
        let mut rows: Vec<_> = self
            .tracked
            .iter()
            .map(|(key, tracked)| Row {
                key: key.clone(),
                tally: tracked.tally.clone(),
                active: tracked.life.is_active(window, now),
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    /// The number of keys in detail, and its limit.
    pub fn size(&self) -> (usize, usize) {
        (self.tracked.len(), self.most)
    }

    /// The number of keys beyond the bound with traffic in the window.
    pub fn untracked(&self) -> usize {
        self.beyond.len()
    }

    /// How often a key was not even remembered beyond the bound, since the last call.
    pub fn take_rejected(&mut self) -> u64 {
        std::mem::take(&mut self.rejected)
    }

    /// The sums that are not in detail, by the value of their label: other, former and unknown keys.
    pub fn rest(&self) -> [(&'static str, &T); 3] {
        [
            ("_other", &self.other),
            ("_former", &self.former),
            ("unknown", &self.unknown),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Count {
        opened: i64,
        ended: i64,
    }

    impl Tally for Count {
        fn add(&mut self, other: &Self) {
            self.opened += other.opened;
            self.ended += other.ended;
        }

        fn uses(&self) -> (i64, u64) {
            (self.opened - self.ended, self.ended.max(0).cast_unsigned())
        }

        fn is_traffic(&self) -> bool {
            self.opened > 0
        }

        fn of_open(open: i64) -> Self {
            Self { opened: open, ended: 0 }
        }
    }

    fn ended(n: i64) -> Count {
        Count { opened: n, ended: n }
    }

    fn names(bounded: &Bounded<&'static str, Count>, now: Instant) -> Vec<&'static str> {
        bounded.rows(WINDOW, now).into_iter().map(|row| row.key).collect()
    }

    #[test]
    fn the_busiest_get_the_places_and_little_does_not_change_that() {
        let now = Instant::now();
        let mut bounded = Bounded::new(2);
        for (who, n) in [("a", 10), ("b", 20), ("c", 19), ("d", 1)] {
            bounded.add(Some(&who), &ended(n), now, 1);
        }
        bounded.expire(WINDOW, now, 1);
        assert_eq!(names(&bounded, now), ["a", "b"], "c is not twice as busy as a");
        bounded.add(Some(&"c"), &ended(2), now, 1);
        bounded.expire(WINDOW, now, 1);
        assert_eq!(names(&bounded, now), ["a", "b"], "not twice in a step");
        bounded.expire(WINDOW, now, 2);
        assert_eq!(names(&bounded, now), ["b", "c"]);
        bounded.expire(WINDOW, now, 3);
        assert_eq!(names(&bounded, now), ["b", "c"]);
        assert_eq!(bounded.untracked(), 2);
    }

    #[test]
    fn a_place_that_becomes_free_goes_to_the_busiest() {
        let (now, later) = (Instant::now(), Instant::now() + WINDOW * 2);
        let mut bounded = Bounded::new(1);
        bounded.add(Some(&"old"), &ended(5), now, 0);
        for (who, n) in [("new", 1), ("busy", 2)] {
            bounded.add(Some(&who), &ended(n), later, 10);
        }
        bounded.expire(WINDOW, later, 10);
        assert_eq!(names(&bounded, later), ["busy"]);
    }

    #[test]
    fn what_is_open_goes_along() {
        let now = Instant::now();
        let mut bounded = Bounded::new(1);
        bounded.add(Some(&"a"), &Count { opened: 1, ended: 0 }, now, 0);
        bounded.add(Some(&"b"), &Count { opened: 9, ended: 0 }, now, 0);
        bounded.expire(WINDOW, now, 1);
        assert_eq!(names(&bounded, now), ["b"]);
        bounded.add(Some(&"b"), &Count { opened: 0, ended: 9 }, now, 1);
        bounded.add(Some(&"a"), &Count { opened: 0, ended: 1 }, now, 1);
        let rows = bounded.rows(WINDOW, now);
        assert_eq!(rows[0].tally.uses().0, 0);
        let rest: i64 = bounded.rest().iter().map(|(_, tally)| tally.uses().0).sum();
        assert_eq!(rest, 0);
    }

    #[test]
    fn beyond_what_is_remembered_it_is_counted_how_often() {
        let now = Instant::now();
        let mut bounded = Bounded::new(1);
        for n in 0..60 {
            bounded.add(Some(&n), &ended(1), now, 0);
        }
        assert_eq!((bounded.untracked(), bounded.take_rejected()), (REMEMBERED, 9));
    }

    #[test]
    fn all_by_one_is_the_greatest_concentration() {
        let now = Instant::now();
        let mut bounded = Bounded::new(2);
        assert_eq!(bounded.concentration(0), None);
        bounded.add(Some(&"a"), &ended(4), now, 0);
        assert_eq!(bounded.concentration(0), Some(1.0));
        for who in ["b", "c", "d"] {
            bounded.add(Some(&who), &ended(4), now, 0);
        }
        assert_eq!(bounded.concentration(0), Some(0.25));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_counted_twice(
            events in prop::collection::vec((0_u8..12, 0_i64..5, 0_i64..5, 0_u64..40), 1..200),
        ) {
            let begin = Instant::now();
            let mut bounded = Bounded::new(3);
            let (mut total, mut at) = (Count::default(), 0);
            for (who, opened, ended, pause) in events {
                at += pause;
                let (now, step) = (begin + Duration::from_secs(at), u32::try_from(at / 12).expect("small"));
                let count = Count { opened, ended };
                total.add(&count);
                bounded.add((who > 0).then_some(&who), &count, now, step);
                bounded.expire(WINDOW, now, step);
                let mut sum = Count::default();
                for row in bounded.rows(WINDOW, now) {
                    sum.add(&row.tally);
                }
                for (_, rest) in bounded.rest() {
                    sum.add(rest);
                }
                prop_assert_eq!(sum, total);
                prop_assert!(bounded.size().0 <= 3);
            }
        }
    }
}
