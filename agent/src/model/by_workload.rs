//! Connections of a point by the workload at the other end, as of one moment.

use crate::identity::Workload;
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// The number of workloads that are shown: those with the most connections.
const SHOWN: usize = 10;

/// Connections by workload, each in `N` classes; `None` stands for those of whom it is not known.
#[derive(Clone, Debug)]
pub struct ByWorkload<const N: usize>(HashMap<Option<Arc<Workload>>, [u64; N]>);

/// What is shown of [`ByWorkload`].
#[derive(Clone, Debug)]
pub struct Busiest<const N: usize> {
    /// The workloads with the most connections.
    pub named: Vec<(Arc<Workload>, [u64; N])>,
    /// The sums of the others and of unknown ones, by the value of their label.
    pub rest: Vec<(&'static str, [u64; N])>,
}

impl<const N: usize> Default for ByWorkload<N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<const N: usize> Default for Busiest<N> {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<const N: usize> ByWorkload<N> {
    /// Adds connections.
    pub fn add(&mut self, who: Option<&Arc<Workload>>, new: [u64; N]) {
        let all = self.0.entry(who.cloned()).or_insert([0; N]);
        *all = plus(*all, new);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum over all workloads.
    pub fn sum(&self) -> [u64; N] {
        self.0.values().copied().fold([0; N], plus)
    }

    /// The workloads with the most connections, and the sums of the others and of unknown ones.
    pub fn busiest(&self) -> Busiest<N> {
        let named = self.0.iter().filter_map(|(who, n)| Some((who.clone()?, *n)));
        let mut named: Vec<_> = named.collect();
        named.sort_by_cached_key(|(who, n)| (Reverse(n.iter().sum::<u64>()), who.namespace.clone(), who.name.clone()));
        let others = named.split_off(named.len().min(SHOWN));
        let other = others.into_iter().map(|(_, n)| n).reduce(plus);
        let rest = [("_other", other), ("unknown", self.0.get(&None).copied())];
        let rest = rest.into_iter().filter_map(|(name, n)| Some((name, n?))).collect();
        Busiest { named, rest }
    }
}

fn plus<const N: usize>(one: [u64; N], other: [u64; N]) -> [u64; N] {
    std::array::from_fn(|class| one[class] + other[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_shown_is_in_the_sums() {
        let mut all = ByWorkload::<2>::default();
        for n in 1..=12 {
            let who = Workload {
                namespace: "shop".into(),
                kind: "Deployment".into(),
                name: format!("w{n}"),
                service_account: String::new(),
                duty: None,
                principal: String::new(),
            };
            all.add(Some(&Arc::new(who)), [n, 1]);
        }
        all.add(None, [100, 0]);
        let Busiest { named, rest } = all.busiest();
        assert_eq!(
            (named.len(), named[0].0.name.as_str(), named[0].1),
            (SHOWN, "w12", [12, 1])
        );
        assert_eq!(rest, [("_other", [1 + 2, 2]), ("unknown", [100, 0])]);
        assert_eq!(all.sum(), [78 + 100, 12]);
        assert!(ByWorkload::<2>::default().busiest().rest.is_empty());
    }
}
