//! How far a flow has been counted, and which of its counts are not attributed yet.

use super::moment::Moment;
use crate::identity::{Binding, Span, Waiting};
use agent_common::{Flow, FlowKey};
use std::collections::VecDeque;

/// A flow, as far as it has been counted.
pub struct Known {
    pub last: Flow,
    /// Connections that ended without having been seen to begin: they were open at the start, but in no file table.
    pub unseen: u64,
    /// Open connections, by the ends they were counted under; the oldest first.
    pub open: VecDeque<Open>,
    /// Its other end stayed unknown for the maximum wait, so its next count does not wait again.
    pub gave_up: bool,
    /// It has been removed from the kernel's table.
    pub gone: bool,
}

impl Known {
    /// A flow of which nothing has been counted.
    pub const fn new() -> Self {
        Self {
            last: Flow::ZERO,
            unseen: 0,
            open: VecDeque::new(),
            gave_up: false,
            gone: false,
        }
    }

    /// Number of its open connections.
    pub fn open(&self) -> u64 {
        self.last.open()
    }

    /// Records connections that have begun and are counted under these ends.
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
    /// The interval in which they began.
    pub span: Span,
}

/// Counts of a flow that are not attributed yet.
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

/// How much of it the point that owns the sockets has counted already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PointHas {
    Nothing,
    /// All but the open connections: an agent before this one has counted the rest.
    Totals,
    All,
}
