//! How far a flow has been counted, and what of it nobody knows yet for whom.

use super::moment::Moment;
use crate::identity::{Binding, Span, Waiting};
use agent_common::{Flow, FlowKey};
use std::collections::VecDeque;

/// A flow, as far as it has been counted.
pub struct Known {
    pub last: Flow,
    /// Connections that ended and had never been seen to begin: they were open, but in no file table, at the start.
    pub unseen: u64,
    /// Connections that are open, by who they were counted under; the oldest first.
    pub open: VecDeque<Open>,
    /// Its other end stayed unknown for as long as is waited for; so the next count of it does not wait again.
    pub gave_up: bool,
    /// It will not come again.
    pub gone: bool,
}

impl Known {
    /// Nothing has been counted of it.
    pub const fn new() -> Self {
        Self {
            last: Flow::ZERO,
            unseen: 0,
            open: VecDeque::new(),
            gave_up: false,
            gone: false,
        }
    }

    /// How many of its connections are open.
    pub fn open(&self) -> u64 {
        self.last.open()
    }

    /// Connections have begun, and are counted under these ends.
    pub fn open_under(&mut self, binding: &Binding, connections: u64, span: Span) {
        if connections == 0 {
            return;
        }
        match self.open.back_mut() {
            Some(last) if last.binding.same_ends(binding) => {
                last.connections += connections;
                last.span.to = span.to;
            }
            _ => self.open.push_back(Open {
                binding: binding.clone(),
                connections,
                span,
            }),
        }
    }
}

/// Open connections that were counted under the same ends.
pub struct Open {
    pub binding: Binding,
    pub connections: u64,
    /// The time in which they began.
    pub span: Span,
}

/// What a flow has counted, and nobody knows yet for whom.
pub struct Held {
    pub key: FlowKey,
    pub delta: Flow,
    pub when: Moment,
    pub point_has: PointHas,
}

impl Waiting for Held {
    fn key(&self) -> &FlowKey {
        &self.key
    }

    fn span(&self) -> Span {
        self.when.span
    }
}

/// What the point whose sockets they are has of it already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PointHas {
    Nothing,
    /// All but the connections that are open: an agent before this one has counted the rest.
    Totals,
    All,
}
