//! Times at which an instance of a point was there, and was not observed.

use std::collections::{BTreeMap, BTreeSet};

/// The times at which each instance was observed.
#[derive(Debug, Default)]
pub struct Instances(BTreeMap<String, BTreeSet<u64>>);

impl Instances {
    /// Adds times at which an instance was observed.
    pub fn add(&mut self, instance: String, times: impl Iterator<Item = u64>) {
        self.0.entry(instance).or_default().extend(times);
    }

    /// Those of these times at which an instance was not observed that was before and after.
    pub fn incomplete(&self, times: impl Iterator<Item = u64>) -> BTreeSet<u64> {
        let is_missing = |seen: &BTreeSet<u64>, time: u64| {
            let span = seen.first().zip(seen.last());
            span.is_some_and(|(first, last)| (*first..=*last).contains(&time)) && !seen.contains(&time)
        };
        times
            .filter(|time| self.0.values().any(|seen| is_missing(seen, *time)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_comes_back_was_missing_and_one_that_comes_or_goes_was_not() {
        let mut instances = Instances::default();
        instances.add("always".into(), 0..10);
        instances.add("leaves".into(), 0..4);
        instances.add("comes".into(), 6..10);
        assert_eq!(instances.incomplete(0..10), BTreeSet::new(), "as replicas do at night");
        instances.add("missed".into(), [1, 2, 5, 7].into_iter());
        assert_eq!(instances.incomplete(0..10), BTreeSet::from([3, 4, 6]));
        // Its agent had another address meanwhile.
        instances.add("missed".into(), [3, 4].into_iter());
        assert_eq!(instances.incomplete(0..10), BTreeSet::from([6]));
    }
}
