//! From what flows count to who it was: at once where that is certain, else held back for a bounded time.

use super::{Model, Moment, delta};
use crate::identity::{Binding, Party, Resolver, Span};
use agent_common::{Flow, FlowKey, Role};
use std::{collections::VecDeque, time::Instant};

/// A flow, as far as it has been counted.
pub(super) struct Known {
    last: Flow,
    /// Connections that ended and had never been seen to begin: they were open, but in no file table, at the start.
    unseen: u64,
    /// Connections that are open, by who they were counted under; the oldest first.
    open: VecDeque<Open>,
    /// What is not counted yet.
    held: Vec<Held>,
    /// Its other end stayed unknown for as long as is waited for; so the next count of it does not wait again.
    resigned: bool,
    /// It will not come again.
    gone: bool,
}

/// Open connections that were counted under the same ends.
struct Open {
    binding: Binding,
    connections: u64,
    /// When they began.
    span: Span,
}

/// What a flow has counted, and nobody knows yet for whom.
struct Held {
    delta: Flow,
    when: Moment,
    /// The point whose sockets they are has it already.
    point_has_it: bool,
}

impl Model {
    /// Takes in a flow as it stands now; `gone` when it will not come again.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow, gone: bool, resolver: &mut Resolver, when: Moment) {
        let mut known = self.flows.remove(key).unwrap_or_else(|| Known {
            last: Flow::ZERO,
            unseen: 0,
            open: VecDeque::new(),
            held: Vec::new(),
            resigned: false,
            gone,
        });
        known.gone = gone;
        self.move_open(key, &mut known, resolver, when.at);
        let delta = delta::advance(&mut known.last, now);
        let begun = known.last.opened + known.last.adopted + known.unseen;
        if known.last.closed > begun && Role::from_u8(key.role) != Some(Role::Listener) {
            self.deficits.push(*key);
        }
        self.submit(key, &mut known, delta, resolver, when);
        self.keep(*key, known);
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

    fn keep(&mut self, key: FlowKey, known: Known) {
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
        let unknown: Vec<_> = self.unknown.iter().copied().collect();
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
            let mut held = std::mem::take(&mut known.held);
            let before = held.len();
            held.retain_mut(|held| !self.count(&key, &mut known, held, resolver, at, false));
            self.held -= before - held.len();
            known.held = held;
            self.keep(key, known);
        }
    }

    /// Counts what a flow has counted, or holds it back.
    fn submit(&mut self, key: &FlowKey, known: &mut Known, delta: Flow, resolver: &mut Resolver, when: Moment) {
        if delta == Flow::ZERO {
            return;
        }
        let mut held = Held {
            delta,
            when,
            point_has_it: false,
        };
        if self.count(key, known, &mut held, resolver, when.at, false) {
            return;
        }
        if self.held >= self.bounds.waiting {
            self.hurried += delta.opened;
            self.count(key, known, &mut held, resolver, when.at, true);
            return;
        }
        self.held += 1;
        known.held.push(held);
    }

    /// Counts it if both ends are known for certain, if it has waited for long, or if it must not wait (`at_once`).
    fn count(
        &mut self,
        key: &FlowKey,
        known: &mut Known,
        held: &mut Held,
        resolver: &mut Resolver,
        at: Instant,
        at_once: bool,
    ) -> bool {
        let Some(role) = Role::from_u8(key.role) else {
            return true;
        };
        let binding = resolver.bind(key, held.when.span);
        if !held.point_has_it
            && let Some(point) = binding.point().cloned()
            && let Some(load) = self.load(&point)
        {
            held.point_has_it = true;
            match role {
                Role::Client => load.upstream.add(&held.delta),
                Role::Server => load.downstream.add(&held.delta),
                Role::Listener => load.queues.entry(key.port).or_default().drops += held.delta.drops,
            }
        }
        let waited = at.duration_since(held.when.at);
        let is_known = match role {
            Role::Listener => binding.knows_local(),
            _ if binding.incomplete() => {
                let hopeless = known.resigned || resolver.knows_this_node_only();
                hopeless && binding.knows_local() && waited >= self.bounds.settle
            }
            _ => binding.sure || waited >= self.bounds.settle,
        };
        if !is_known && waited < self.bounds.wait && !at_once {
            return false;
        }
        if role != Role::Listener {
            known.resigned = binding.peer == Party::Unknown;
            self.count_ends(key, known, &held.delta, &binding, Moment { at, ..held.when });
        }
        true
    }

    /// Counts for whoever is at both ends. Connections that end are taken off whom they were counted under when they began:
    /// the other end's address may have changed hands since. The oldest end first, which is approximate: those of a former
    /// holder cannot outlive it for long.
    fn count_ends(&mut self, key: &FlowKey, known: &mut Known, delta: &Flow, binding: &Binding, when: Moment) {
        let mut delta = *delta;
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
