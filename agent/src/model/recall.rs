//! Going on where the agent before this one has stopped: how far each flow had been counted.

use super::{
    Model, Moment,
    waiting::{Held, Known, PointHas},
};
use crate::identity::Span;
use agent_common::{Flow, FlowKey};
use std::{collections::HashMap, time::Instant};

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
    flows: HashMap<FlowKey, Known>,
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
            .filter(|(_, known)| !known.gone || !known.held.is_empty());
        let remembered = flows.map(|(key, known)| Remembered {
            key: *key,
            last: Flow {
                retired: u32::from(known.gone || is_leaving(key)),
                ..known.last
            },
            unseen: known.unseen,
            held: (known.held.iter())
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
            Some(mut known) => {
                // It had been taken out: this is a new one.
                if known.last.retired != 0 && now.retired == 0 {
                    known.last = Flow::ZERO;
                    known.unseen = 0;
                }
                self.held += known.held.len();
                Some(known)
            }
            None if recall.all_counted => Some(known(
                &Remembered {
                    key: *key,
                    last: *now,
                    // What had never been seen to begin is not told of again.
                    unseen: now.closed.saturating_sub(now.opened + now.adopted),
                    held: Vec::new(),
                },
                Moment {
                    at: Instant::now(),
                    span: Span { from: 0, to: 0 },
                },
            )),
            None => None,
        }
    }

    /// All flows have been read: those that are remembered and were not read have left the kernel's table.
    pub fn end_recall(&mut self) {
        let Some(recall) = self.recall.take() else { return };
        for (key, mut known) in recall.flows {
            if !known.held.is_empty() {
                known.gone = true;
                self.held += known.held.len();
                self.keep(key, known);
            }
        }
    }
}

/// A flow that goes on from there. Its open connections are taken in anew: this agent has not counted them for anybody yet.
fn known(flow: &Remembered, when: Moment) -> Known {
    let net =
        |flow: &Flow, unseen: u64| (flow.opened + flow.adopted + unseen).cast_signed() - flow.closed.cast_signed();
    let held: i64 = flow.held.iter().map(|(delta, _)| net(delta, 0)).sum();
    let open = (net(&flow.last, flow.unseen) - held).max(0).cast_unsigned();
    let mut known = Known::new();
    known.last = Flow {
        adopted: flow.last.adopted.wrapping_sub(open),
        ..flow.last
    };
    known.unseen = flow.unseen;
    known.held = (flow.held.iter())
        .map(|(delta, point_has_it)| Held {
            delta: *delta,
            when,
            point_has: if *point_has_it {
                PointHas::Totals
            } else {
                PointHas::Nothing
            },
        })
        .collect();
    known
}
