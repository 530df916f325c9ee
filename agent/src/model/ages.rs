//! How old the open connections of points are, by dependent.

use super::{known::Known, sums::Model};
use crate::{
    identity::{Binding, Workload},
    points::Point,
};
use agent_common::{AGES, FlowKey};
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// The number of dependents of a point whose ages are shown: those with the most open connections.
const SHOWN: usize = 10;

/// Open connections by [`agent_common::age_class`].
pub type Ages = [u64; AGES];

/// The ages of one point's connections by dependent; `None` stands for those whose caller is unknown.
type ByDependent = HashMap<Option<Arc<Workload>>, Ages>;

/// The ages of the open connections from dependents, as the last walk over open files found them.
#[derive(Default)]
pub(super) struct OpenAges(HashMap<Arc<Point>, ByDependent>);

impl OpenAges {
    fn add(&mut self, binding: &Binding, class: usize, connections: u64) {
        let Some(point) = binding.point().filter(|point| point.kind.is_shared()) else {
            return;
        };
        let by = self.0.entry(point.clone()).or_default();
        by.entry(binding.peer.named().cloned()).or_insert([0; AGES])[class] += connections;
    }
}

impl Model {
    /// Sets the ages of the connections that shared points have accepted, by flow. To be called after the flows of a tick. Connections whose
    /// flow still waits for an identity are left out.
    pub fn ages(&mut self, found: &[(FlowKey, [u32; AGES])]) {
        let mut ages = OpenAges::default();
        for (key, open) in found {
            let other = FlowKey {
                generation: key.generation ^ 1,
                ..*key
            };
            let known = [key, &other].into_iter().filter_map(|key| self.flows.get(key));
            if let Some(known) = known.max_by_key(|known| known.open()) {
                of_flow(known, open, &mut ages);
            }
        }
        self.ages = ages;
    }

    /// The ages of a point's open connections: of the dependents with the most, and the sums of the others and of unknown callers.
    pub fn ages_of(&self, point: &Point) -> (Vec<(Arc<Workload>, Ages)>, Vec<(&'static str, Ages)>) {
        let none = ByDependent::new();
        let mut named: Vec<_> = (self.ages.0.get(point).unwrap_or(&none).iter())
            .filter_map(|(who, ages)| Some((who.clone()?, *ages)))
            .collect();
        named.sort_by_cached_key(|(who, ages)| {
            (
                Reverse(ages.iter().sum::<u64>()),
                who.namespace.clone(),
                who.name.clone(),
            )
        });
        let others = named.split_off(named.len().min(SHOWN));
        let other = others.iter().map(|(_, ages)| ages).copied().reduce(plus);
        let unknown = self.ages.0.get(point).and_then(|by| by.get(&None)).copied();
        let rest = [("_other", other), ("unknown", unknown)].into_iter();
        (named, rest.filter_map(|(name, ages)| Some((name, ages?))).collect())
    }
}

fn plus(one: Ages, other: Ages) -> Ages {
    std::array::from_fn(|class| one[class] + other[class])
}

/// Adds the connections of a flow. If its other end was reassigned, the oldest connections are those of the former holder.
fn of_flow(known: &Known, open: &[u32; AGES], ages: &mut OpenAges) {
    let mut ends = known.open.iter().peekable();
    let mut left = ends.peek().map_or(0, |end| end.connections);
    for (class, connections) in open.iter().enumerate().rev() {
        let mut connections = u64::from(*connections);
        while connections > 0
            && let Some(end) = ends.peek()
        {
            // What is more than was counted belongs to the present holder: it has begun since the flows were read.
            let is_last = std::ptr::eq(*end, known.open.back().unwrap_or(end));
            let n = if is_last { connections } else { connections.min(left) };
            ages.add(&end.binding, class, n);
            connections -= n;
            left = left.saturating_sub(n);
            if left == 0 && !is_last {
                ends.next();
                left = ends.peek().map_or(0, |end| end.connections);
            }
        }
    }
}
