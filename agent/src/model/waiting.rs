//! From the counters of flows to identities: counted at once where the identity is final, otherwise held back for a bounded time.

use super::{
    delta,
    known::{Held, Known, PointHas},
    load,
    moment::Moment,
    sums::Model,
};
use crate::identity::{Binding, Endpoint, Identities, Lane, Questions};
use agent_common::{Flow, FlowKey, Role};
use std::time::Instant;

impl Model {
    /// Reads a flow's current counters; `gone` when it has left the kernel's table. Returns whether they have changed since the
    /// last time.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow, gone: bool, identities: &dyn Identities, when: Moment) -> bool {
        // Most flows are unchanged most of the time.
        if !gone
            && self
                .flows
                .get(key)
                .is_some_and(|known| !known.gone && delta::is_at_rest(&known.last, now))
        {
            return false;
        }
        let mut known = (self.flows.remove(key))
            .or_else(|| self.recalled(key, now))
            .unwrap_or_else(Known::new);
        if known.gone {
            // The old flow had left, and was kept only by its waiting counts: this is a new one with the same key.
            known.last = Flow::ZERO;
            known.unseen = 0;
        }
        known.gone = gone;
        self.move_open(key, &mut known, identities, when.at);
        let delta = self.advance(key, &mut known, now);
        self.submit(key, &mut known, delta, identities, when);
        self.keep(*key, known);
        delta != Flow::ZERO
    }

    /// How far the previous agent has counted a flow that is read for the first time.
    fn recalled(&mut self, key: &FlowKey, now: &Flow) -> Option<Known> {
        let (known, lane) = self.recall.as_mut()?.flow(key, now)?;
        self.waiting.put(*key, lane);
        Some(known)
    }

    /// The change of a flow's counters since the last time.
    fn advance(&mut self, key: &FlowKey, known: &mut Known, now: &Flow) -> Flow {
        let role = Role::from_u8(key.role);
        let before = known.last.carrier;
        let mut delta = delta::advance(&mut known.last, now);
        let begun = known.last.opened + known.last.adopted + known.unseen;
        if known.gone && role != Some(Role::Listener) {
            // The kernel takes out no flow with open connections: what is open here began unseen, and its end was not seen, either.
            let left = begun.saturating_sub(known.last.closed);
            delta.closed += left;
            known.last.closed += left;
            self.mended += left;
        }
        if before == 0 && known.last.carrier != 0 && role == Some(Role::Client) {
            for open in &known.open {
                self.ways.taken_in(&open.binding, open.connections);
            }
        }
        if known.last.closed > begun && role != Some(Role::Listener) {
            self.deficits.push(*key);
        }
        delta
    }

    /// Checks the flows of this tick that ended more connections than they had begun. While every flow has had its place in the
    /// kernel's table (`detail`), these were open at the start, but in no file table. Otherwise their beginning may have been
    /// counted under their owner alone.
    pub fn unseen_flows(&mut self, detail: bool, identities: &dyn Identities, when: Moment) {
        for key in std::mem::take(&mut self.deficits) {
            let Some(mut known) = detail.then(|| self.flows.remove(&key)).flatten() else {
                continue;
            };
            let unseen = (known.last.closed).saturating_sub(known.last.opened + known.last.adopted + known.unseen);
            known.unseen += unseen;
            self.unseen += unseen;
            let adopted = Flow {
                adopted: unseen,
                ..Flow::ZERO
            };
            self.submit(&key, &mut known, adopted, identities, when);
            self.keep(key, known);
        }
    }

    /// Stores a flow again, unless it has left and none of its counts wait any more.
    pub(super) fn keep(&mut self, key: FlowKey, known: Known) {
        if known.open.iter().any(|open| open.binding.incomplete()) {
            self.unknown.insert(key);
        } else {
            self.unknown.remove(&key);
        }
        if known.gone && self.waiting.lane(&key).is_none() {
            self.unknown.remove(&key);
            return;
        }
        self.flows.insert(key, known);
    }

    /// What the observer must inspect. After that, [`Model::settle`] counts what waited only for the observer.
    pub fn take_questions(&mut self) -> Questions {
        self.waiting.take_questions()
    }

    /// Counts what has waited long enough, or is known by now.
    pub fn settle(&mut self, identities: &dyn Identities, at: Instant) {
        // Only when a new identity may be known.
        let generation = identities.generation();
        let is_new = std::mem::replace(&mut self.settled_generation, generation) != generation;
        let unknown: Vec<_> = self.unknown.iter().filter(|_| is_new).copied().collect();
        for key in unknown {
            if let Some(mut known) = self.flows.remove(&key) {
                self.move_open(&key, &mut known, identities, at);
                self.keep(key, known);
            }
        }
        for key in self.waiting.names() {
            self.settle_flow(&key, identities, at, false);
        }
        // Of the flows that could not be counted because of a question, as many as exceed the limit must not wait any longer.
        for key in std::mem::take(&mut self.deferred) {
            if self.waiting.len() > self.waiting.limit() {
                self.settle_flow(&key, identities, at, true);
            }
        }
        self.links.conclude(at);
    }

    fn settle_flow(&mut self, key: &FlowKey, identities: &dyn Identities, at: Instant, at_once: bool) {
        let mut lane = self.waiting.take(key);
        let Some(mut known) = self.flows.remove(key) else {
            return;
        };
        self.waiting.bind(&mut lane, identities);
        self.count_lane(key, &mut known, &mut lane, at, at_once);
        self.waiting.put(*key, lane);
        self.keep(*key, known);
    }

    /// Counts the change of a flow's counters, or lets it wait.
    fn submit(&mut self, key: &FlowKey, known: &mut Known, delta: Flow, identities: &dyn Identities, when: Moment) {
        if delta == Flow::ZERO || Role::from_u8(key.role).is_none() {
            return;
        }
        let mut lane = self.waiting.take(key);
        lane.push(Held {
            key: *key,
            delta,
            when,
            point_has: PointHas::Nothing,
        });
        self.waiting.bind(&mut lane, identities);
        // What waits for the observer does so for the rest of this tick only, and does not count towards the limit.
        if lane.has_question() {
            self.deferred.push(*key);
        }
        let is_too_many = self.waiting.excess(&lane) > self.deferred.len();
        self.count_lane(key, known, &mut lane, when.at, is_too_many);
        self.waiting.put(*key, lane);
    }

    /// Counts the waiting counts of a flow, as far as their identities are known by now, or all of them (`at_once`); but none that
    /// the observer must still inspect.
    fn count_lane(&mut self, key: &FlowKey, known: &mut Known, lane: &mut Lane<Held>, at: Instant, at_once: bool) {
        let Some(role) = Role::from_u8(key.role) else { return };
        for (held, binding) in lane.bound_mut() {
            self.count_for_the_point(key.port, role, held, binding);
        }
        while let Some((held, binding)) = lane.pop_if(|held, binding| {
            binding.question.is_none() && (at_once || self.may_count(role, known, held, binding, at))
        }) {
            if at_once && !self.may_count(role, known, &held, &binding, at) {
                self.flushed_early += held.delta.opened;
            }
            if role != Role::Listener {
                known.gave_up = binding.peer == Endpoint::Unknown;
                self.count_ends(key, known, &held.delta, &binding, Moment { at, ..held.when });
            }
        }
    }

    /// Counts what the point's own sockets show, as soon as it is known that they belong to a point.
    fn count_for_the_point(&mut self, port: u16, role: Role, held: &mut Held, binding: &Binding) {
        if held.point_has != PointHas::All
            && let Some(load) = binding.point().cloned().and_then(|point| self.load(&point))
        {
            let has_totals = std::mem::replace(&mut held.point_has, PointHas::All) == PointHas::Totals;
            let side = match role {
                Role::Client => &mut load.upstream,
                Role::Server => &mut load.downstream,
                Role::Listener => {
                    let drops = if has_totals { 0 } else { held.delta.drops };
                    load.queues.entry(port).or_default().drops += drops;
                    return;
                }
            };
            match has_totals {
                true => side.active += load::change(&held.delta),
                false => side.add(&held.delta),
            }
        }
    }

    /// Whether both ends are final, or have been waited for long enough.
    fn may_count(&self, role: Role, known: &Known, held: &Held, binding: &Binding, at: Instant) -> bool {
        let waited = at.duration_since(held.when.at);
        let is_known = match role {
            Role::Listener => binding.knows_local(),
            _ if binding.incomplete() => {
                let hopeless = known.gave_up || self.bounds.this_node_only;
                hopeless && binding.knows_local() && waited >= self.bounds.settle
            }
            _ => binding.sure || waited >= self.bounds.settle,
        };
        is_known || waited >= self.bounds.wait
    }

    /// Counts for the identities at both ends. Connections that end are subtracted where they were counted when they began: the
    /// other end's address may have been reassigned since. The oldest end first, which is approximate: connections of a former
    /// owner cannot outlive it for long.
    fn count_ends(&mut self, key: &FlowKey, known: &mut Known, delta: &Flow, binding: &Binding, when: Moment) {
        // The carrier of a flow becomes known a moment after its first connection.
        let mut delta = Flow {
            carrier: known.last.carrier,
            ..*delta
        };
        known.open_under(binding, delta.opened + delta.adopted, when.span);
        let mut closed = delta.closed;
        while closed > 0
            && let Some(earlier) = known.open.front_mut()
        {
            let ended = closed.min(earlier.connections);
            earlier.connections -= ended;
            closed -= ended;
            if !earlier.binding.same_ends(binding) {
                delta.closed -= ended;
                let earlier = earlier.binding.clone();
                let ended = Flow {
                    closed: ended,
                    carrier: delta.carrier,
                    ..Flow::ZERO
                };
                self.add(key, &ended, &earlier, when);
            }
            if known.open.front().is_some_and(|open| open.connections == 0) {
                known.open.pop_front();
            }
        }
        self.add(key, &delta, binding, when);
    }

    /// The identity of a flow's ends became known after it was counted: moves its open connections to the new identity.
    fn move_open(&mut self, key: &FlowKey, known: &mut Known, identities: &dyn Identities, at: Instant) {
        let generation = identities.generation();
        let carrier = known.last.carrier;
        for open in &mut known.open {
            let binding = &open.binding;
            if !binding.incomplete() || binding.generation == generation {
                continue;
            }
            let better = identities.bind(key, open.span);
            if better.question.is_some() {
                self.waiting.ask(better.question);
                continue;
            }
            if !better.same_ends(binding) {
                let one = |closed, adopted| Flow {
                    closed,
                    adopted,
                    carrier,
                    ..Flow::ZERO
                };
                let when = Moment { at, span: open.span };
                self.add(key, &one(open.connections, 0), binding, when);
                self.add(key, &one(0, open.connections), &better, when);
                // For the point, the connections neither ended nor began.
                let n = i64::try_from(open.connections).unwrap_or(i64::MAX);
                for (who, change) in [(binding.point(), -n), (better.point(), n)] {
                    if let Some(side) = who.and_then(|point| self.side(point, key.role)) {
                        side.active += change;
                    }
                }
            }
            open.binding = better;
        }
    }
}

#[cfg(test)]
mod tests;
