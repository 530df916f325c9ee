//! Who held something over time: an address or a network namespace. Both are reused.
//!
//! A reassignment becomes known late, in any order, and with times in whole seconds. So a question is about an interval, and the
//! answer tells when there was no single holder.

use crate::clock::Millis;
use std::{collections::HashMap, hash::Hash};

/// Times in Kubernetes objects are cut to the second.
pub const RESOLUTION: Millis = 1_000;

/// When a holding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not ended.
    Open,
    /// By this time at the latest: when the end became known.
    By(Millis),
    /// At this time, up to [`RESOLUTION`] early.
    At(Millis),
}

/// Who held a key in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held<W> {
    /// No holder is known for the interval.
    Nobody,
    /// The same holder all the time.
    One(W),
    /// More than one holder.
    Several,
}

#[derive(Clone, Debug)]
struct Holding<W> {
    who: W,
    /// The key of the holder (a pod): a repeated update of the same holder replaces the earlier one.
    by: u128,
    begin: Millis,
    end: End,
}

/// The holders of each key, current and former.
#[derive(Clone, Debug)]
pub struct History<K, W> {
    current: HashMap<K, Holding<W>>,
    /// Further holdings, where there are any; few keys have had more than one holder.
    others: HashMap<K, Vec<Holding<W>>>,
}

impl<K, W> Default for History<K, W> {
    fn default() -> Self {
        Self {
            current: HashMap::new(),
            others: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, W: Clone + PartialEq> History<K, W> {
    /// Records that `by` has held `key` since `begin` at the latest.
    pub fn hold(&mut self, key: &K, by: u128, who: W, begin: Millis) {
        if let Some(known) = self.find(key, by) {
            known.who = who;
            known.begin = known.begin.min(begin);
            known.end = End::Open;
            return;
        }
        let new = Holding {
            who,
            by,
            begin,
            end: End::Open,
        };
        if let Some(before) = self.current.insert(key.clone(), new) {
            self.others.entry(key.clone()).or_default().push(before);
        }
    }

    /// Records that `by` released `key`.
    pub fn release(&mut self, key: &K, by: u128, end: End) {
        if let Some(known) = self.find(key, by) {
            known.end = match (known.end, end) {
                // The first reported end is the closest, and an exact one is better.
                (End::At(at), _) => End::At(at),
                (_, End::At(at)) => End::At(at),
                (End::By(a), End::By(b)) => End::By(a.min(b)),
                (_, new) => new,
            };
        }
    }

    fn find(&mut self, key: &K, by: u128) -> Option<&mut Holding<W>> {
        match self.current.get_mut(key) {
            Some(current) if current.by == by => Some(current),
            Some(_) => self.others.get_mut(key)?.iter_mut().find(|holding| holding.by == by),
            None => None,
        }
    }

    /// Who held `key` from `from` to `to`.
    pub fn at(&self, key: &K, from: Millis, to: Millis) -> Held<W> {
        let Some(current) = self.current.get(key) else {
            return Held::Nobody;
        };
        let others = self.others.get(key).map_or(&[][..], Vec::as_slice);
        if others.is_empty() {
            let (begin, end) = (current.begin, current.last());
            return if begin <= to && from <= end {
                Held::One(current.who.clone())
            } else {
                Held::Nobody
            };
        }
        let mut all: Vec<&Holding<W>> = others.iter().chain([current]).collect();
        all.sort_by_key(|holding| (holding.begin, holding.end == End::Open));
        let mut found = Held::Nobody;
        for (place, holding) in all.iter().enumerate() {
            // The previous holder may have kept it past the beginning reported for the next one; but then its end is known.
            let before = all[..place].iter().filter_map(|before| before.exact_end()).max();
            let begin = before.map_or(holding.begin, |end| holding.begin.max(end));
            // The next holder took it over at its beginning, unless this one's end is known.
            let end = match (holding.exact_end(), all.get(place + 1)) {
                (Some(end), _) => end + RESOLUTION,
                (None, Some(next)) => holding.last().min(next.begin),
                (None, None) => holding.last(),
            };
            if begin > to || end < from {
                continue;
            }
            found = match found {
                Held::Nobody => Held::One(holding.who.clone()),
                Held::One(who) if who == holding.who => Held::One(who),
                _ => return Held::Several,
            };
        }
        found
    }

    /// Whether the reassignment of `key` to `by` at `begin` became known only after answers about that time had been given: those
    /// since `begin`, up to `settled`, went to another holder.
    pub fn spoilt(&self, key: &K, by: u128, begin: Millis, settled: Millis) -> bool {
        begin < settled
            && self
                .current
                .get(key)
                .is_some_and(|current| current.by != by && current.end == End::Open && current.begin < begin)
    }

    /// Forgets holdings that ended before `time`.
    pub fn forget(&mut self, time: Millis) {
        self.others.retain(|_, others| {
            others.retain(|holding| holding.last() >= time);
            !others.is_empty()
        });
        let others = &mut self.others;
        self.current.retain(|key, current| {
            if current.last() >= time {
                return true;
            }
            // An older holding that outlived this one.
            let Some(rest) = others.get_mut(key) else { return false };
            let Some(other) = rest.pop() else { return false };
            if rest.is_empty() {
                others.remove(key);
            }
            *current = other;
            true
        });
    }

    /// Number of keys with a holder, current or former.
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Releases memory that is no longer needed.
    pub fn shrink(&mut self) {
        self.current.shrink_to_fit();
        self.others.shrink_to_fit();
    }
}

impl<W> Holding<W> {
    fn exact_end(&self) -> Option<Millis> {
        match self.end {
            End::At(end) => Some(end),
            _ => None,
        }
    }

    /// The last moment at which it may have been held.
    fn last(&self) -> Millis {
        match self.end {
            End::Open => Millis::MAX,
            End::By(end) => end,
            End::At(end) => end + RESOLUTION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Life = (u128, &'static str, Millis);
    type Tell = fn(&mut History<u8, &'static str>, Life, Life);

    fn history() -> History<u8, &'static str> {
        History::default()
    }

    #[test]
    fn one_holder_after_another() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        assert_eq!(history.at(&1, 0, 9_000), Held::Nobody);
        assert_eq!(history.at(&1, 20_000, 30_000), Held::One("a"));
        history.release(&1, 1, End::At(40_000));
        history.hold(&1, 2, "b", 60_000);
        assert_eq!(history.at(&1, 30_000, 39_000), Held::One("a"));
        // In between it had no holder, so an interval that reaches into the gap has one holder.
        assert_eq!(history.at(&1, 35_000, 55_000), Held::One("a"));
        assert_eq!(history.at(&1, 42_000, 59_000), Held::Nobody);
        assert_eq!(history.at(&1, 50_000, 65_000), Held::One("b"));
        assert_eq!(history.at(&1, 35_000, 65_000), Held::Several);
        assert_eq!(history.at(&2, 0, 100_000), Held::Nobody);
    }

    #[test]
    fn the_order_of_the_updates_does_not_matter() {
        let (a, b) = ((1, "a", 10_000), (2, "b", 60_000));
        let questions = [
            (0, 5_000),
            (30_000, 39_000),
            (42_000, 59_000),
            (61_000, 70_000),
            (80_000, 90_000),
        ];
        let expected = [
            Held::Nobody,
            Held::One("a"),
            Held::Nobody,
            Held::One("b"),
            Held::One("b"),
        ];
        let updates: [Tell; 3] = [
            |history, a, b| {
                history.hold(&1, a.0, a.1, a.2);
                history.release(&1, a.0, End::At(40_000));
                history.hold(&1, b.0, b.1, b.2);
            },
            |history, a, b| {
                history.hold(&1, a.0, a.1, a.2);
                history.hold(&1, b.0, b.1, b.2);
                history.release(&1, a.0, End::At(40_000));
            },
            |history, a, b| {
                history.hold(&1, b.0, b.1, b.2);
                history.hold(&1, a.0, a.1, a.2);
                history.release(&1, a.0, End::At(40_000));
                history.release(&1, a.0, End::By(99_000));
            },
        ];
        for tell in updates {
            let mut history = history();
            tell(&mut history, a, b);
            for ((from, to), expected) in questions.iter().zip(&expected) {
                assert_eq!(&history.at(&1, *from, *to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn the_next_one_ends_the_one_before_whose_end_is_not_known() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        history.hold(&1, 2, "b", 60_000);
        assert_eq!(history.at(&1, 50_000, 59_000), Held::One("a"));
        assert_eq!(history.at(&1, 61_000, 62_000), Held::One("b"));
        // Reported late: the exact end of the first is unknown, only its upper bound.
        history.release(&1, 1, End::By(99_000));
        assert_eq!(history.at(&1, 61_000, 62_000), Held::One("b"));
    }

    #[test]
    fn a_pod_that_waits_for_the_address_has_it_when_the_other_has_ended() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        // It began to start while the other was still running.
        history.hold(&1, 2, "b", 20_000);
        history.release(&1, 1, End::At(40_000));
        assert_eq!(history.at(&1, 25_000, 39_000), Held::One("a"));
        assert_eq!(history.at(&1, 40_100, 40_900), Held::Several);
        assert_eq!(history.at(&1, 42_000, 43_000), Held::One("b"));
    }

    #[test]
    fn the_same_workload_twice_is_one() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        history.hold(&1, 2, "a", 60_000);
        assert_eq!(history.at(&1, 50_000, 70_000), Held::One("a"));
    }

    #[test]
    fn what_is_told_again_is_the_same_holding() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        history.hold(&1, 1, "a2", 12_000);
        assert_eq!(history.at(&1, 10_500, 11_000), Held::One("a2"));
        history.release(&1, 1, End::By(20_000));
        assert_eq!(history.at(&1, 21_000, 22_000), Held::Nobody);
        history.forget(30_000);
        assert_eq!(history.len(), 0);
    }

    #[test]
    fn a_late_reassignment_is_noticed() {
        let mut history = history();
        history.hold(&1, 1, "a", 10_000);
        assert!(history.spoilt(&1, 2, 50_000, 60_000));
        assert!(!history.spoilt(&1, 2, 50_000, 40_000), "nothing was answered yet");
        assert!(!history.spoilt(&1, 1, 50_000, 60_000), "the same pod");
        history.release(&1, 1, End::At(45_000));
        assert!(!history.spoilt(&1, 2, 50_000, 60_000), "nobody held it");
    }

    proptest! {
        /// Holdings separated by a gap are told apart whatever order the updates come in.
        #[test]
        fn any_order_gives_the_same_answers(
            gaps in prop::collection::vec((3..50_i64, 3..50_i64), 1..6),
            order in prop::collection::vec(any::<prop::sample::Index>(), 24),
        ) {
            let mut time = 0;
            let mut lives = Vec::new();
            for (life, gap) in gaps {
                lives.push((time * 1000, (time + life) * 1000));
                time += life + gap;
            }
            let mut updates: Vec<(usize, bool)> = (0..lives.len()).flat_map(|n| [(n, true), (n, false)]).collect();
            for (place, index) in order.iter().enumerate().take(updates.len()) {
                let other = index.index(updates.len());
                updates.swap(place, other);
            }
            let mut history: History<u8, usize> = History::default();
            for &(n, begins) in &updates {
                // The end of an unknown holding tells who it was, too.
                history.hold(&1, n as u128, n, lives[n].0);
                if !begins {
                    history.release(&1, n as u128, End::At(lives[n].1));
                }
            }
            for (n, _) in &updates {
                history.release(&1, *n as u128, End::At(lives[*n].1));
            }
            for (n, (begin, end)) in lives.iter().enumerate() {
                prop_assert_eq!(history.at(&1, begin + 1_100, end - 100), Held::One(n));
                prop_assert_eq!(history.at(&1, end + 1_100, end + 1_900), Held::Nobody);
            }
        }
    }
}
