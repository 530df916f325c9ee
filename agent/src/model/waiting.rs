//! From what flows count to who it was: at once where that is certain, else held back for a bounded time.

use super::{Model, Moment, delta};
use crate::identity::{Binding, Party, Resolver, Span};
use agent_common::{Flow, FlowKey, Role};
use std::{collections::VecDeque, time::Instant};

/// A flow, as far as it has been counted.
pub(super) struct Known {
    pub(super) last: Flow,
    /// Connections that ended and had never been seen to begin: they were open, but in no file table, at the start.
    pub(super) unseen: u64,
    /// Connections that are open, by who they were counted under; the oldest first.
    open: VecDeque<Open>,
    /// What is not counted yet, in the order in which it happened, and in which it is counted: connections must begin before
    /// they end.
    pub(super) held: VecDeque<Held>,
    /// Its other end stayed unknown for as long as is waited for; so the next count of it does not wait again.
    gave_up: bool,
    /// It will not come again.
    pub(super) gone: bool,
}

impl Known {
    /// Nothing has been counted of it.
    pub(super) const fn new() -> Self {
        Self {
            last: Flow::ZERO,
            unseen: 0,
            open: VecDeque::new(),
            held: VecDeque::new(),
            gave_up: false,
            gone: false,
        }
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> u64 {
        self.last.open()
    }
}

/// Open connections that were counted under the same ends.
struct Open {
    binding: Binding,
    connections: u64,
    /// When they began.
    span: Span,
}

/// What a flow has counted, and nobody knows yet for whom.
pub(super) struct Held {
    pub(super) delta: Flow,
    pub(super) when: Moment,
    pub(super) point_has: PointHas,
}

/// What the point whose sockets they are has of it already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PointHas {
    Nothing,
    /// All but the connections that are open: an agent before this one has counted the rest.
    Totals,
    All,
}

impl Model {
    /// Takes in a flow as it stands now; `gone` when it will not come again. Whether it has changed since the last time.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow, gone: bool, resolver: &mut Resolver, when: Moment) -> bool {
        // Most flows rest at most times.
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
            // It had left, and only what it holds back has kept it: this is another one with its key.
            known.last = Flow::ZERO;
            known.unseen = 0;
        }
        known.gone = gone;
        self.move_open(key, &mut known, resolver, when.at);
        let before = known.last.carrier;
        let mut delta = delta::advance(&mut known.last, now);
        if gone && Role::from_u8(key.role) != Some(Role::Listener) {
            // The kernel takes out no flow with open connections: what is open here had begun unseen, and its end was not seen, either.
            let begun = known.last.opened + known.last.adopted + known.unseen;
            let left = begun.saturating_sub(known.last.closed);
            delta.closed += left;
            known.last.closed += left;
            self.mended += left;
        }
        if before == 0 && known.last.carrier != 0 && Role::from_u8(key.role) == Some(Role::Client) {
            for open in &known.open {
                self.ways.taken_in(&open.binding, open.connections);
            }
        }
        let begun = known.last.opened + known.last.adopted + known.unseen;
        if known.last.closed > begun && Role::from_u8(key.role) != Some(Role::Listener) {
            self.deficits.push(*key);
        }
        self.submit(key, &mut known, delta, resolver, when);
        self.keep(*key, known);
        delta != Flow::ZERO
    }

    /// Looks at the flows of this tick that ended more connections than they had begun. While every flow has had its place
    /// in the kernel's table (`detail`), these were open, but in no file table, at the start. Without, their beginning may
    /// have been counted under their owner alone.
    pub fn unseen_flows(&mut self, detail: bool, resolver: &mut Resolver, when: Moment) {
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
            self.submit(&key, &mut known, adopted, resolver, when);
            self.keep(key, known);
        }
    }

    pub(super) fn keep(&mut self, key: FlowKey, known: Known) {
        if known.open.iter().any(|open| open.binding.incomplete()) {
            self.unknown.insert(key);
        } else {
            self.unknown.remove(&key);
        }
        if known.held.is_empty() {
            self.waiting.remove(&key);
            if known.gone {
                self.unknown.remove(&key);
                return;
            }
        } else {
            self.waiting.insert(key);
        }
        self.flows.insert(key, known);
    }

    /// Counts what has waited long enough, or is known by now.
    pub fn settle(&mut self, resolver: &mut Resolver, at: Instant) {
        // Only when somebody new may be known.
        let generation = resolver.generation();
        let news = std::mem::replace(&mut self.settled_generation, generation) != generation;
        let unknown: Vec<_> = self.unknown.iter().filter(|_| news).copied().collect();
        for key in unknown {
            if let Some(mut known) = self.flows.remove(&key) {
                self.move_open(&key, &mut known, resolver, at);
                self.keep(key, known);
            }
        }
        let waiting: Vec<_> = self.waiting.iter().copied().collect();
        for key in waiting {
            let Some(mut known) = self.flows.remove(&key) else {
                self.waiting.remove(&key);
                continue;
            };
            self.count_held(&key, &mut known, resolver, at, false);
            self.keep(key, known);
        }
    }

    /// Counts what a flow has counted, or holds it back.
    fn submit(&mut self, key: &FlowKey, known: &mut Known, delta: Flow, resolver: &mut Resolver, when: Moment) {
        if delta == Flow::ZERO || Role::from_u8(key.role).is_none() {
            return;
        }
        self.held += 1;
        known.held.push_back(Held {
            delta,
            when,
            point_has: PointHas::Nothing,
        });
        let too_many = self.held > self.bounds.waiting;
        self.count_held(key, known, resolver, when.at, too_many);
    }

    /// Counts what a flow has held back, as far as it is known by now, or all of it (`at_once`).
    fn count_held(&mut self, key: &FlowKey, known: &mut Known, resolver: &mut Resolver, at: Instant, at_once: bool) {
        let Some(role) = Role::from_u8(key.role) else { return };
        let mut in_order = true;
        for mut held in std::mem::take(&mut known.held) {
            let binding = resolver.bind(key, held.when.span);
            self.count_for_the_point(key.port, role, &mut held, &binding);
            in_order &= at_once || self.may_count(role, known, &held, &binding, resolver, at);
            if !in_order {
                known.held.push_back(held);
                continue;
            }
            self.held -= 1;
            if at_once && !self.may_count(role, known, &held, &binding, resolver, at) {
                self.hurried += held.delta.opened;
            }
            if role != Role::Listener {
                known.gave_up = binding.peer == Party::Unknown;
                self.count_ends(key, known, &held.delta, &binding, Moment { at, ..held.when });
            }
        }
    }

    /// What the point's own sockets show, as soon as it is known that they are a point's.
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
                true => side.active += super::load::change(&held.delta),
                false => side.add(&held.delta),
            }
        }
    }

    /// Whether both ends are known for certain, or have been waited for.
    fn may_count(
        &self,
        role: Role,
        known: &Known,
        held: &Held,
        binding: &Binding,
        resolver: &Resolver,
        at: Instant,
    ) -> bool {
        let waited = at.duration_since(held.when.at);
        let is_known = match role {
            Role::Listener => binding.knows_local(),
            _ if binding.incomplete() => {
                let hopeless = known.gave_up || resolver.knows_this_node_only();
                hopeless && binding.knows_local() && waited >= self.bounds.settle
            }
            _ => binding.sure || waited >= self.bounds.settle,
        };
        is_known || waited >= self.bounds.wait
    }

    /// Counts for whoever is at both ends. Connections that end are taken off whom they were counted under when they began:
    /// the other end's address may have changed hands since. The oldest end first, which is approximate: those of a former
    /// holder cannot outlive it for long.
    fn count_ends(&mut self, key: &FlowKey, known: &mut Known, delta: &Flow, binding: &Binding, when: Moment) {
        // Who carries a flow becomes known a moment after its first connection.
        let mut delta = Flow {
            carrier: known.last.carrier,
            ..*delta
        };
        let begun = delta.opened + delta.adopted;
        if begun > 0 {
            match known.open.back_mut() {
                Some(last) if last.binding.same_ends(binding) => {
                    last.connections += begun;
                    last.span.to = when.span.to;
                }
                _ => known.open.push_back(Open {
                    binding: binding.clone(),
                    connections: begun,
                    span: when.span,
                }),
            }
        }
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
                self.add(key, &ended, &earlier, when.at);
            }
            if known.open.front().is_some_and(|open| open.connections == 0) {
                known.open.pop_front();
            }
        }
        self.add(key, &delta, binding, when.at);
    }

    /// The identity of a flow's ends became known after it was counted: its open connections now count there.
    fn move_open(&mut self, key: &FlowKey, known: &mut Known, resolver: &mut Resolver, at: Instant) {
        let generation = resolver.generation();
        let carrier = known.last.carrier;
        for open in &mut known.open {
            let binding = &open.binding;
            if !binding.incomplete() || binding.generation == generation {
                continue;
            }
            let better = resolver.bind(key, open.span);
            if !better.same_ends(binding) {
                let one = |closed, adopted| Flow {
                    closed,
                    adopted,
                    carrier,
                    ..Flow::ZERO
                };
                self.add(key, &one(open.connections, 0), binding, at);
                self.add(key, &one(0, open.connections), &better, at);
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
