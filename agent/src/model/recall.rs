//! Going on where the agent before this one has stopped: how far each flow had been counted.

use super::{
    Model, Moment,
    waiting::{Held, Known, PointHas},
};
use crate::identity::Lane;
use agent_common::{Flow, FlowKey};
use std::collections::HashMap;

/// How far a flow has been counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Which.
    pub key: FlowKey,
    /// Its counters, as they were last read.
    pub last: Flow,
    /// Connections that ended and had never been seen to begin.
    pub unseen: u64,
    /// Of these counters, what waits for an identity, and whether the point whose sockets they are has it in its totals.
    pub held: Vec<(Flow, bool)>,
}

/// What was remembered, until all flows have been read once.
pub(super) struct Recall {
    flows: HashMap<FlowKey, (Known, Lane<Held>)>,
    /// Flows that are not in there have been counted up to now, for all that is known; else, they are new.
    all_counted: bool,
}

impl Model {
    /// How far each flow has been counted; `is_leaving` says of which there may be a new one with the same key next time. `None`
    /// before all flows have been read once.
    pub fn remember(&self, is_leaving: impl Fn(&FlowKey) -> bool) -> Option<Vec<Remembered>> {
        if self.recall.is_some() {
            return None;
        }
        let flows = self
            .flows
            .iter()
            .filter(|(key, known)| !known.gone || self.waiting.lane(key).is_some());
        let remembered = flows.map(|(key, known)| Remembered {
            key: *key,
            last: Flow {
                retired: u32::from(known.gone || is_leaving(key)),
                ..known.last
            },
            unseen: known.unseen,
            held: (self.waiting.lane(key).into_iter().flat_map(Lane::iter))
                .map(|held| (held.delta, held.point_has != PointHas::Nothing))
                .collect(),
        });
        Some(remembered.collect())
    }

    /// Before the first reading: flows have been counted so far, the last time at `when`.
    pub fn recall(&mut self, flows: Vec<Remembered>, when: Moment) {
        let flows = flows.into_iter().map(|flow| (flow.key, known(&flow, when)));
        self.recall = Some(Recall {
            flows: flows.collect(),
            all_counted: false,
        });
    }

    /// Before the first reading: it is not known how far flows have been counted, so nothing of what they have counted by now is.
    pub fn recall_nothing(&mut self) {
        self.recall = Some(Recall {
            flows: HashMap::new(),
            all_counted: true,
        });
    }

    /// How far a flow that is read for the first time has been counted.
    pub(super) fn recalled(&mut self, key: &FlowKey, now: &Flow) -> Option<Known> {
        let recall = self.recall.as_mut()?;
        match recall.flows.remove(key) {
            Some((mut known, lane)) => {
                // It had been taken out: this is a new one.
                if known.last.retired != 0 && now.retired == 0 {
                    known.last = Flow::ZERO;
                    known.unseen = 0;
                }
                self.waiting.put(*key, lane);
                Some(known)
            }
            None if recall.all_counted => {
                let mut known = Known::new();
                known.last = *now;
                // What had never been seen to begin is not told of again.
                known.unseen = now.closed.saturating_sub(now.opened + now.adopted);
                take_in_open(&mut known, 0);
                Some(known)
            }
            None => None,
        }
    }

    /// All flows have been read: those that are remembered and were not read have left the kernel's table.
    pub fn end_recall(&mut self) {
        let Some(recall) = self.recall.take() else { return };
        for (key, (mut known, lane)) in recall.flows {
            if !lane.is_empty() {
                known.gone = true;
                self.waiting.put(key, lane);
                self.keep(key, known);
            }
        }
    }
}

/// A flow that goes on from there, and what still waits of it.
fn known(flow: &Remembered, when: Moment) -> (Known, Lane<Held>) {
    let mut known = Known::new();
    known.last = flow.last;
    known.unseen = flow.unseen;
    take_in_open(&mut known, flow.held.iter().map(|(delta, _)| net(delta)).sum());
    let mut lane = Lane::default();
    for (delta, point_has_it) in &flow.held {
        lane.push(Held {
            key: flow.key,
            delta: *delta,
            when,
            point_has: if *point_has_it {
                PointHas::Totals
            } else {
                PointHas::Nothing
            },
        });
    }
    (known, lane)
}

/// Open connections are taken in anew: this agent has not counted them for anybody yet. Of them, those that `wait` are still to be
/// counted as opened.
fn take_in_open(known: &mut Known, wait: i64) {
    let open = (net(&known.last) + known.unseen.cast_signed() - wait)
        .max(0)
        .cast_unsigned();
    known.last.adopted = known.last.adopted.wrapping_sub(open);
}

/// How many more connections began than ended.
fn net(flow: &Flow) -> i64 {
    (flow.opened + flow.adopted).cast_signed() - flow.closed.cast_signed()
}
