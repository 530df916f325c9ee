//! How old the open connections of points are, and which of their instances are to go.

use super::{
    ages::{ByDependent, FlowAges, HalfClosed, OpenAges},
    drains::{Drain, Instance},
    sums::Model,
};
use crate::{clock::Millis, points::Point};
use agent_common::{FlowKey, Role};

impl Model {
    /// Sets the ages of the open connections of points, by flow, and the instances that are there. To be called after
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
                if found.flow.role == Role::Server as u8 {
                    self.ages.add_flow(known, found);
                }
                self.ages.add_half_closed(known, found);
            }
        }
        self.drains.update(&self.ages, instances, now);
    }

    /// The ages of a point's open connections; `None` without any.
    pub fn ages_of(&self, point: &Point) -> Option<&ByDependent> {
        self.ages.of(point)
    }

    /// A point's connections that one end has closed; `None` without any connection.
    pub fn half_closed_of(&self, point: &Point) -> Option<&HalfClosed> {
        self.ages.half_closed(point)
    }

    /// The instances that are to go, in the order of their points.
    pub fn draining(&self) -> &[Drain] {
        self.drains.now()
    }
}
