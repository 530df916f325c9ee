//! How old the open connections of points are, by dependent.

use super::{by_workload::ByWorkload, known::Known};
use crate::{identity::Binding, points::Point};
use agent_common::{AGES, FlowKey, Role};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The ages of one point's connections by dependent.
pub type ByDependent = ByWorkload<AGES>;

/// Open connections of one flow, as the last walk over open files found them.
#[derive(Clone, Copy, Debug)]
pub struct FlowAges {
    /// The flow.
    pub flow: FlowKey,
    /// Its connections.
    pub open: [u32; AGES],
    /// Those of them that one end has closed: the peer first, the point first.
    pub half_closed: [u32; 2],
    /// The process that has them, if another one has replaced it.
    pub replaced: Option<u32>,
}

/// The ages of the open connections from dependents, as the last walk over open files found them.
#[derive(Default)]
pub(super) struct OpenAges(HashMap<Arc<Point>, PointAges>);

/// Those of one point.
#[derive(Default)]
struct PointAges {
    all: ByDependent,
    replaced: Replaced,
    /// Connections that one end has closed, with either side.
    half_closed: HalfClosed,
}

/// Those of a point's replaced processes.
#[derive(Default)]
pub(super) struct Replaced {
    /// By dependent.
    pub(super) open: ByDependent,
    /// Their number by process.
    pub(super) processes: BTreeMap<u32, u64>,
}

/// Connections that one end has closed and the other one has not, by the workload at the other end: closed first by the peer, closed
/// first by the point.
#[derive(Clone, Debug, Default)]
pub struct HalfClosed {
    /// Those that the point had accepted.
    pub downstream: ByWorkload<2>,
    /// Those that it had opened.
    pub upstream: ByWorkload<2>,
}

impl OpenAges {
    fn add(&mut self, binding: &Binding, replaced: Option<u32>, class: usize, connections: u64) {
        let Some(point) = binding.point().filter(|point| point.kind.is_shared()) else {
            return;
        };
        let ages = self.0.entry(point.clone()).or_default();
        let mut new = [0; AGES];
        new[class] = connections;
        ages.all.add(binding.peer.named(), new);
        if let Some(process) = replaced {
            ages.replaced.open.add(binding.peer.named(), new);
            *ages.replaced.processes.entry(process).or_default() += connections;
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
        side.add(binding.peer.named(), found.half_closed.map(u64::from));
    }

    /// Half-closed connections of a point.
    pub(super) fn half_closed(&self, point: &Point) -> Option<&HalfClosed> {
        self.0.get(point).map(|ages| &ages.half_closed)
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
                self.add(&end.binding, found.replaced, class, n);
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
    pub(super) fn replaced(&self) -> impl Iterator<Item = (&Arc<Point>, &Replaced)> {
        let points = self.0.iter().filter(|(_, ages)| !ages.replaced.open.is_empty());
        points.map(|(point, ages)| (point, &ages.replaced))
    }

    /// Those of a point.
    pub(super) fn of(&self, point: &Point) -> Option<&ByDependent> {
        self.0.get(point).map(|ages| &ages.all)
    }
}
