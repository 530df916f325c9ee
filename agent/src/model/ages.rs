//! How old the open connections of points are, by dependent.

use super::known::Known;
use crate::{
    identity::{Binding, Workload},
    points::Point,
};
use agent_common::{AGES, FlowKey, Role};
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// The number of dependents of a point whose ages are shown: those with the most open connections.
const SHOWN: usize = 10;

/// Open connections by [`agent_common::age_class`].
pub type Ages = [u64; AGES];

/// The ages of one point's connections by dependent; `None` stands for those whose caller is unknown.
#[derive(Clone, Debug, Default)]
pub struct ByDependent(HashMap<Option<Arc<Workload>>, Ages>);

/// What is shown of [`ByDependent`].
#[derive(Clone, Debug, Default)]
pub struct Busiest {
    /// The dependents with the most connections.
    pub named: Vec<(Arc<Workload>, Ages)>,
    /// The sums of the others and of unknown callers, by the value of their label.
    pub rest: Vec<(&'static str, Ages)>,
}

/// Open connections of one flow, as the last walk over open files found them.
#[derive(Clone, Copy, Debug)]
pub struct FlowAges {
    /// The flow.
    pub flow: FlowKey,
    /// Its connections.
    pub open: [u32; AGES],
    /// Those of them that one end has closed: the peer first, the point first.
    pub half_closed: [u32; 2],
    /// They are those of a process that another one has replaced.
    pub is_replaced: bool,
}

/// The ages of the open connections from dependents, as the last walk over open files found them.
#[derive(Default)]
pub(super) struct OpenAges(HashMap<Arc<Point>, PointAges>);

/// Those of one point.
#[derive(Default)]
struct PointAges {
    all: ByDependent,
    /// Of these, the ones of replaced processes.
    replaced: ByDependent,
    /// Connections that one end has closed, with either side.
    half_closed: HalfClosed,
}

/// Connections that one end has closed and the other one has not, by the workload at the other end; `None` stands for those of whom it is
/// not known.
#[derive(Clone, Debug, Default)]
pub struct HalfClosed {
    /// Those that the point had accepted.
    pub downstream: HalfClosedBy,
    /// Those that it had opened.
    pub upstream: HalfClosedBy,
}

/// By workload: closed first by the peer, closed first by the point.
pub type HalfClosedBy = HashMap<Option<Arc<Workload>>, [u64; 2]>;

impl ByDependent {
    fn add(&mut self, who: Option<&Arc<Workload>>, class: usize, connections: u64) {
        self.0.entry(who.cloned()).or_insert([0; AGES])[class] += connections;
    }

    /// The sum over all dependents.
    pub fn sum(&self) -> Ages {
        self.0.values().copied().fold([0; AGES], plus)
    }

    /// Of the dependents with the most connections, and the sums of the others and of unknown callers.
    pub fn busiest(&self) -> Busiest {
        let named = self.0.iter().filter_map(|(who, ages)| Some((who.clone()?, *ages)));
        let mut named: Vec<_> = named.collect();
        named.sort_by_cached_key(|(who, ages)| {
            (
                Reverse(ages.iter().sum::<u64>()),
                who.namespace.clone(),
                who.name.clone(),
            )
        });
        let others = named.split_off(named.len().min(SHOWN));
        let other = others.into_iter().map(|(_, ages)| ages).reduce(plus);
        let unknown = self.0.get(&None).copied();
        let rest = [("_other", other), ("unknown", unknown)].into_iter();
        let rest = rest.filter_map(|(name, ages)| Some((name, ages?))).collect();
        Busiest { named, rest }
    }
}

fn plus(one: Ages, other: Ages) -> Ages {
    std::array::from_fn(|class| one[class] + other[class])
}

impl OpenAges {
    fn add(&mut self, binding: &Binding, is_replaced: bool, class: usize, connections: u64) {
        let Some(point) = binding.point().filter(|point| point.kind.is_shared()) else {
            return;
        };
        let ages = self.0.entry(point.clone()).or_default();
        ages.all.add(binding.peer.named(), class, connections);
        if is_replaced {
            ages.replaced.add(binding.peer.named(), class, connections);
        }
    }

    /// Adds the half-closed connections of a flow, to whoever holds the other end now.
    pub(super) fn add_half_closed(&mut self, known: &Known, found: &FlowAges) {
        let Some(binding) = known.open.back().map(|end| &end.binding) else {
            return;
        };
        let Some(point) = binding.point().filter(|_| found.half_closed != [0; 2]) else {
            return;
        };
        let half_closed = &mut self.0.entry(point.clone()).or_default().half_closed;
        let side = match Role::from_u8(found.flow.role) {
            Some(Role::Server) => &mut half_closed.downstream,
            _ => &mut half_closed.upstream,
        };
        let all = side.entry(binding.peer.named().cloned()).or_default();
        for (total, new) in all.iter_mut().zip(found.half_closed) {
            *total += u64::from(new);
        }
    }

    /// Half-closed connections of a point.
    pub(super) fn half_closed(&self, point: &Point) -> HalfClosed {
        self.0
            .get(point)
            .map(|ages| ages.half_closed.clone())
            .unwrap_or_default()
    }

    /// Adds the connections of a flow. If its other end was reassigned, the oldest connections are those of the former holder.
    pub(super) fn add_flow(&mut self, known: &Known, found: &FlowAges) {
        let mut ends = known.open.iter().peekable();
        let mut left = ends.peek().map_or(0, |end| end.connections);
        for (class, connections) in found.open.iter().enumerate().rev() {
            let mut connections = u64::from(*connections);
            while connections > 0
                && let Some(end) = ends.peek()
            {
                // What is more than was counted belongs to the present holder: it has begun since the flows were read.
                let is_last = std::ptr::eq(*end, known.open.back().unwrap_or(end));
                let n = if is_last { connections } else { connections.min(left) };
                self.add(&end.binding, found.is_replaced, class, n);
                connections -= n;
                left = left.saturating_sub(n);
                if left == 0 && !is_last {
                    ends.next();
                    left = ends.peek().map_or(0, |end| end.connections);
                }
            }
        }
    }

    /// Points of which a process was replaced that still has connections.
    pub(super) fn replaced(&self) -> impl Iterator<Item = (&Arc<Point>, &ByDependent)> {
        let points = self.0.iter().filter(|(_, ages)| !ages.replaced.0.is_empty());
        points.map(|(point, ages)| (point, &ages.replaced))
    }

    /// Those of a point.
    pub(super) fn of(&self, point: &Point) -> ByDependent {
        self.0.get(point).map(|ages| ages.all.clone()).unwrap_or_default()
    }
}
