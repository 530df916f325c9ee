//! The part of the model that the next agent needs to continue the counts, and how it is restored.

use super::{
    control_plane::RememberedLink,
    drains::RememberedDrain,
    known::PointHas,
    moment::Moment,
    recall::{Recall, Remembered},
    sums::Model,
};
use crate::{clock::Millis, identity::Lane};
use agent_common::{Flow, FlowKey};

impl Model {
    /// How far each flow has been counted; `is_leaving` tells for which flows a new one with the same key may exist next time.
    /// `None` before all flows have been read once.
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

    /// The links of points to their control planes.
    pub fn remember_links(&self) -> Vec<RememberedLink> {
        self.links.remember()
    }

    /// The instances that are to go.
    pub fn remember_drains(&self) -> Vec<RememberedDrain> {
        self.drains.remember()
    }

    /// To be called before the first reading: flows have been counted this far, and links and drains were these, the last time at
    /// `when`.
    pub fn recall(
        &mut self,
        flows: Vec<Remembered>,
        links: Vec<RememberedLink>,
        drains: Vec<RememberedDrain>,
        when: Moment,
    ) {
        self.recall = Some(Recall::of(flows, when));
        // Identities are waited for no longer than this; twice, for the ticks in between.
        let patience = (self.bounds.wait + self.bounds.settle) * 2;
        self.links.recall(links, when, patience);
        let patience = Millis::try_from(patience.as_millis()).unwrap_or(Millis::MAX);
        self.drains.recall(drains, when.span.to.saturating_add(patience));
    }

    /// To be called before the first reading: it is unknown how far flows have been counted, so none of their current counts are
    /// used.
    pub fn recall_nothing(&mut self) {
        self.recall = Some(Recall::of_nothing());
    }

    /// To be called when all flows have been read: remembered flows that were not read have left the kernel's table.
    pub fn end_recall(&mut self) {
        let Some(recall) = self.recall.take() else { return };
        for (key, (mut known, lane)) in recall.rest() {
            if !lane.is_empty() {
                known.gone = true;
                self.waiting.put(key, lane);
                self.keep(key, known);
            }
        }
    }
}
