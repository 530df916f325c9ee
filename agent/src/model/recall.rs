//! Resumes from the previous agent: how far each flow had been counted.

use super::{
    known::{Held, Known, PointHas},
    moment::Moment,
};
use crate::identity::Lane;
use agent_common::{Flow, FlowKey};
use std::collections::HashMap;

/// How far a flow has been counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// The key of the flow.
    pub key: FlowKey,
    /// Its counters, as they were last read.
    pub last: Flow,
    /// Connections that ended without having been seen to begin.
    pub unseen: u64,
    /// The part of these counters that waits for an identity, and whether the point that owns the sockets has it in its totals.
    pub held: Vec<(Flow, bool)>,
}

/// The remembered flows, until all flows have been read once.
pub struct Recall {
    flows: HashMap<FlowKey, Left>,
    /// Whether flows that are not remembered are assumed to be counted up to now; otherwise they are new.
    all_counted: bool,
}

/// How far a flow had been counted, and its counts that waited.
type Left = (Known, Lane<Held>);

impl Recall {
    /// Flows have been counted this far, the last time at `when`.
    pub fn of(flows: Vec<Remembered>, when: Moment) -> Self {
        let flows = flows.into_iter().map(|flow| (flow.key, known(&flow, when)));
        Self {
            flows: flows.collect(),
            all_counted: false,
        }
    }

    /// It is unknown how far flows have been counted, so none of their current counts are used.
    pub fn of_nothing() -> Self {
        Self {
            flows: HashMap::new(),
            all_counted: true,
        }
    }

    /// How far a flow that is read for the first time has been counted, and which of its counts still wait.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow) -> Option<Left> {
        match self.flows.remove(key) {
            Some((mut known, lane)) => {
                // The old flow had been taken out: this is a new one.
                if known.last.retired != 0 && now.retired == 0 {
                    known.last = Flow::ZERO;
                    known.unseen = 0;
                }
                Some((known, lane))
            }
            None if self.all_counted => {
                let mut known = Known::new();
                known.last = *now;
                // Connections not seen to begin are not reported again.
                known.unseen = now.closed.saturating_sub(now.opened + now.adopted);
                take_in_open(&mut known, 0);
                Some((known, Lane::default()))
            }
            None => None,
        }
    }

    /// The flows that have not been read.
    pub fn rest(self) -> impl Iterator<Item = (FlowKey, Left)> {
        self.flows.into_iter()
    }
}

/// A flow that resumes from there, and its counts that still wait.
fn known(flow: &Remembered, when: Moment) -> Left {
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

/// Registers open connections again: this agent has not attributed them yet. Of these, `wait` connections are still to be counted
/// as opened.
fn take_in_open(known: &mut Known, wait: i64) {
    let open = (net(&known.last) + known.unseen.cast_signed() - wait)
        .max(0)
        .cast_unsigned();
    known.last.adopted = known.last.adopted.wrapping_sub(open);
}

/// Connections that began less those that ended.
fn net(flow: &Flow) -> i64 {
    (flow.opened + flow.adopted).cast_signed() - flow.closed.cast_signed()
}
