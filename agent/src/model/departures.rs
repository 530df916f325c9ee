//! How old the open connections of points are, and which of their instances are to go.

use super::{
    ages::{ByDependent, FlowAges, OpenAges},
    drains::{Drain, Instance},
    sums::Model,
};
use crate::{clock::Millis, points::Point};
use agent_common::FlowKey;

impl Model {
    /// Sets the ages of the connections that shared points have accepted, by flow, and the instances that are there. To be called after
    /// the flows of a tick. Connections whose flow still waits for an identity are left out.
    pub fn depart(&mut self, found: &[FlowAges], instances: &[Instance], now: Millis) {
        self.ages = OpenAges::default();
        for found in found {
            let other = FlowKey {
                generation: found.flow.generation ^ 1,
                ..found.flow
            };
            let known = [&found.flow, &other].into_iter().filter_map(|key| self.flows.get(key));
            if let Some(known) = known.max_by_key(|known| known.open()) {
                self.ages.add_flow(known, found);
            }
        }
        self.drains.update(&self.ages, instances, now);
    }

    /// The ages of a point's open connections.
    pub fn ages_of(&self, point: &Point) -> ByDependent {
        self.ages.of(point)
    }

    /// The instances that are to go, in the order of their points.
    pub fn draining(&self) -> &[Drain] {
        self.drains.now()
    }
}
