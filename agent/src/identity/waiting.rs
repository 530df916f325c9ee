//! Items that wait for identities: counts of connections, failures to be reported.
//!
//! Every waiting item is in a lane, and leaves it in order of arrival: of a flow, what happened first is counted first; of
//! failures, a later one does not overtake an earlier one. How long an item waits and for what is decided by the user of the queue;
//! the queue itself ensures that identities are not looked up again without new information, and bounds the number of waiting
//! items.

use super::{Binding, Identities, Question, Questions, Span};
use agent_common::FlowKey;
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// An item that waits for the identities of its ends.
pub trait Waiting {
    /// The flow that it belongs to.
    fn key(&self) -> &FlowKey;

    /// The interval in which it happened.
    fn span(&self) -> Span;
}

/// A waiting item, and its identities as far as they are known.
#[derive(Debug)]
pub struct Entry<T> {
    /// The waiting item.
    pub what: T,
    /// Its identities; `None` before the first lookup.
    binding: Option<Binding>,
}

impl<T: Waiting> Entry<T> {
    /// Looks up its identities, if the answer may have improved since the last lookup.
    fn bind(&mut self, identities: &dyn Identities, questions: &mut Questions) -> &Binding {
        let is_outdated =
            |binding: &Binding| binding.question.is_some() || binding.generation != identities.generation();
        let known = self.binding.take().filter(|binding| !is_outdated(binding));
        let binding = known.unwrap_or_else(|| identities.bind(self.what.key(), self.what.span()));
        questions.extend(binding.question);
        self.binding.insert(binding)
    }
}

/// Waiting items, in order of arrival.
#[derive(Debug)]
pub struct Lane<T>(VecDeque<Entry<T>>);

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lane<T> {
    /// Appends an item, behind all others.
    pub fn push(&mut self, what: T) {
        if self.0.is_empty() {
            // Most lanes never have a second item, and most have this one for a moment only.
            self.0.reserve_exact(1);
        }
        self.0.push_back(Entry { what, binding: None });
    }

    /// Removes the first item and returns it with its identities, when `is_ready` holds.
    pub fn pop_if(&mut self, is_ready: impl FnOnce(&T, &Binding) -> bool) -> Option<(T, Binding)> {
        let first = self.0.front()?;
        is_ready(&first.what, first.binding.as_ref()?).then_some(())?;
        let Entry { what, binding } = self.0.pop_front()?;
        Some((what, binding?))
    }

    /// All items, the first one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().map(|entry| &entry.what)
    }

    /// All items, for modification.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.0.iter_mut().map(|entry| &mut entry.what)
    }

    /// All items that have been looked up, with their identities.
    pub fn bound_mut(&mut self) -> impl Iterator<Item = (&mut T, &Binding)> {
        let all = self.0.iter_mut();
        all.filter_map(|entry| Some((&mut entry.what, entry.binding.as_ref()?)))
    }

    /// Whether the observer must inspect something before all identities are final.
    pub fn has_question(&self) -> bool {
        let mut bindings = self.0.iter().filter_map(|entry| entry.binding.as_ref());
        bindings.any(|binding| binding.question.is_some())
    }

    /// Number of items in the lane.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the lane is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All lanes. A lane is taken out while it is processed, and put back with what still waits.
#[derive(Debug)]
pub struct Queue<L, T> {
    lanes: HashMap<L, Lane<T>>,
    len: usize,
    limit: usize,
    questions: Questions,
}

impl<L: Hash + Eq + Copy, T: Waiting> Queue<L, T> {
    /// An empty queue; at most `limit` items should wait, in all lanes together.
    pub fn new(limit: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            len: 0,
            limit,
            questions: Questions::new(),
        }
    }

    /// Number of waiting items, without those in lanes that are taken out.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The limit of waiting items.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// By how many items the limit is exceeded, with this lane.
    pub fn excess(&self, lane: &Lane<T>) -> usize {
        (self.len + lane.len()).saturating_sub(self.limit)
    }

    /// A lane with waiting items.
    pub fn lane(&self, name: &L) -> Option<&Lane<T>> {
        self.lanes.get(name)
    }

    /// The names of the lanes with waiting items.
    pub fn names(&self) -> Vec<L> {
        self.lanes.keys().copied().collect()
    }

    /// Takes a lane out; empty when nothing waits in it.
    pub fn take(&mut self, name: &L) -> Lane<T> {
        let lane = self.lanes.remove(name).unwrap_or_default();
        self.len -= lane.len();
        lane
    }

    /// Puts a lane back.
    pub fn put(&mut self, name: L, lane: Lane<T>) {
        if !lane.is_empty() {
            self.len += lane.len();
            self.lanes.insert(name, lane);
        }
    }

    /// Looks up the identities of all items in a lane, as far as answers may have improved, and notes new questions.
    pub fn bind(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        for entry in &mut lane.0 {
            entry.bind(identities, &mut self.questions);
        }
    }

    /// [`Queue::bind`] for the last item, which has just arrived.
    pub fn bind_last(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        if let Some(last) = lane.0.back_mut() {
            last.bind(identities, &mut self.questions);
        }
    }

    /// [`Queue::bind`] for the first item, which is to leave next.
    pub fn bind_first(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        if let Some(first) = lane.0.front_mut() {
            first.bind(identities, &mut self.questions);
        }
    }

    /// Adds a question for the observer.
    pub fn ask(&mut self, question: Option<Question>) {
        self.questions.extend(question);
    }

    /// Takes the questions since the last call, for the observer.
    pub fn take_questions(&mut self) -> Questions {
        std::mem::take(&mut self.questions)
    }
}

#[cfg(test)]
mod tests;
