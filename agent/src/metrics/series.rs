//! Counters and histograms by name and labels, independent of any format: what the agent has exported, so that the next agent
//! continues from there.

use super::row::Labels;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// How long later agents show a series that has not increased.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The value of a counter or a gauge.
    Number(f64),
    /// The sum of a histogram, and its buckets: upper bound, and the number of values between it and the previous bound.
    Histogram(f64, Vec<(f64, u64)>),
}

/// A stored series.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its value when it was stored.
    pub value: Value,
    /// When an agent last increased it, in milliseconds since 1970.
    pub at: i64,
}

/// Series by family and labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The families by name; the keys within a family are made from labels by `key`.
    pub families: HashMap<String, HashMap<String, Kept>>,
}

impl Series {
    /// Whether there are series to forget: those that have not increased for long, and those about a point that is not in `points`
    /// that have not increased for the time of `window`.
    pub fn is_outdated(&self, now: i64, window: Duration, points: &HashSet<&str>) -> bool {
        let mut rows = self.families.values().flatten();
        rows.any(|(key, kept)| is_old(key, kept, now, window, points))
    }

    /// Forgets the series that [`Series::is_outdated`] describes.
    pub fn forget(&mut self, now: i64, window: Duration, points: &HashSet<&str>) {
        for family in self.families.values_mut() {
            family.retain(|key, kept| !is_old(key, kept, now, window, points));
        }
    }
}

fn is_old(key: &str, kept: &Kept, now: i64, window: Duration, points: &HashSet<&str>) -> bool {
    let older = |than: Duration| now.saturating_sub(kept.at) > i64::try_from(than.as_millis()).unwrap_or(i64::MAX);
    // Hardly any series is that old, so labels are rarely inspected.
    older(REMEMBERED) || older(window) && labels(key).any(|(name, value)| name == "point" && !points.contains(value))
}

/// Separators between names and values, and between such pairs: characters that labels do not contain.
const IS: char = '\u{1e}';
const AND: char = '\u{1f}';

/// Encodes labels as one string.
pub fn key(labels: &Labels<'_>) -> String {
    let mut key = String::new();
    for (name, value) in labels {
        key.push_str(name);
        key.push(IS);
        key.push_str(value);
        key.push(AND);
    }
    key
}

/// Decodes the labels of a [`key`].
pub fn labels(key: &str) -> impl Iterator<Item = (&str, &str)> {
    key.split(AND).filter_map(|pair| pair.split_once(IS))
}

impl Value {
    /// Adds what was counted before; a histogram with other buckets restarts at 0.
    pub fn after(mut self, before: Option<&Self>) -> Self {
        match (&mut self, before) {
            (Self::Number(now), Some(Self::Number(before))) => *now += before,
            (Self::Histogram(sum, buckets), Some(Self::Histogram(sum_before, before)))
                if buckets.len() == before.len() && buckets.iter().zip(before).all(|(one, other)| one.0 == other.0) =>
            {
                *sum += sum_before;
                for (bucket, before) in buckets.iter_mut().zip(before) {
                    bucket.1 += before.1;
                }
            }
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_their_key_are_the_same() {
        let given: Labels<'_> = vec![("point", "a/b=c,\"".into()), ("side", "".into())];
        let key = key(&given);
        let found: Vec<_> = labels(&key).collect();
        assert_eq!(found, [("point", "a/b=c,\""), ("side", "")]);
        assert_eq!(labels("").count(), 0);
    }

    #[test]
    fn values_go_on_from_those_before() {
        let counter = Value::Number(2.0).after(Some(&Value::Number(3.0)));
        assert_eq!(counter, Value::Number(5.0));
        let histogram = |sum, n| Value::Histogram(sum, vec![(0.5, n), (f64::INFINITY, 1)]);
        assert_eq!(
            histogram(1.5, 2).after(Some(&histogram(0.5, 3))),
            Value::Histogram(2.0, vec![(0.5, 5), (f64::INFINITY, 2)])
        );
        assert_eq!(Value::Number(2.0).after(None), Value::Number(2.0));
        let other = Value::Histogram(1.0, vec![(0.25, 9)]);
        assert_eq!(histogram(1.5, 2).after(Some(&other)), histogram(1.5, 2));
    }

    #[test]
    fn what_nobody_adds_to_is_forgotten_in_time() {
        let mut series = Series::default();
        let family = series.families.entry("narrows_x".to_owned()).or_default();
        let at = |at| Kept {
            value: Value::Number(1.0),
            at,
        };
        let point = |name: &'static str| key(&vec![("point", name.into())]);
        let day = i64::try_from(REMEMBERED.as_millis()).expect("small");
        family.insert(point("here"), at(day));
        family.insert(point("gone"), at(day));
        family.insert(point("old"), at(0));
        let (window, points) = (Duration::from_secs(30), HashSet::from(["here", "old"]));
        assert!(!series.is_outdated(day, window, &points), "not yet");
        series.forget(day + 60_000, window, &points);
        assert!(!series.is_outdated(day + 60_000, window, &points));
        let left: Vec<_> = series.families["narrows_x"].keys().collect();
        assert_eq!(left, [&point("here")]);
    }
}
