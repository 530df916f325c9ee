//! What waits for identities: connections to be counted, failures to be told of.
//!
//! Everything that waits stands in a lane, and leaves it in the order in which it came: of a flow, what happened first is counted
//! first; of failures, a later one does not overtake an earlier one. How long something waits and for what is up to whoever keeps
//! the queue; that nobody is looked for again before there is anything new, and how much may wait altogether, is the same for all.

use super::{Binding, Identities, Question, Questions, Span};
use agent_common::FlowKey;
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Something that waits for the identities of its ends.
pub trait Waiting {
    /// The flow that it belongs to.
    fn key(&self) -> &FlowKey;

    /// When it happened.
    fn span(&self) -> Span;
}

/// One that waits, and who it was as far as that is known.
#[derive(Debug)]
pub struct Entry<T> {
    /// What waits.
    pub what: T,
    /// Who it was; `None` before anybody has looked.
    binding: Option<Binding>,
}

impl<T: Waiting> Entry<T> {
    /// Looks who it was, if there may be a better answer than that of the last time.
    fn bind(&mut self, identities: &dyn Identities, questions: &mut Questions) -> &Binding {
        let is_outdated =
            |binding: &Binding| binding.question.is_some() || binding.generation != identities.generation();
        let known = self.binding.take().filter(|binding| !is_outdated(binding));
        let binding = known.unwrap_or_else(|| identities.bind(self.what.key(), self.what.span()));
        questions.extend(binding.question);
        self.binding.insert(binding)
    }
}

/// What waits, in the order in which it came.
#[derive(Debug)]
pub struct Lane<T>(VecDeque<Entry<T>>);

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lane<T> {
    /// Something new, behind all others.
    pub fn push(&mut self, what: T) {
        if self.0.is_empty() {
            // Most lanes never have a second one, and most have this one for a moment only.
            self.0.reserve_exact(1);
        }
        self.0.push_back(Entry { what, binding: None });
    }

    /// Takes the first one out, with who it was, when `is_ready` says so.
    pub fn pop_if(&mut self, is_ready: impl FnOnce(&T, &Binding) -> bool) -> Option<(T, Binding)> {
        let first = self.0.front()?;
        is_ready(&first.what, first.binding.as_ref()?).then_some(())?;
        let Entry { what, binding } = self.0.pop_front()?;
        Some((what, binding?))
    }

    /// All of them, the first one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().map(|entry| &entry.what)
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.0.iter_mut().map(|entry| &mut entry.what)
    }

    /// All of them, with who they were as far as somebody has looked.
    pub fn bound_mut(&mut self) -> impl Iterator<Item = (&mut T, &Binding)> {
        let all = self.0.iter_mut();
        all.filter_map(|entry| Some((&mut entry.what, entry.binding.as_ref()?)))
    }

    /// Whether the observer is to look at something before all of them are known for certain.
    pub fn has_question(&self) -> bool {
        let mut bindings = self.0.iter().filter_map(|entry| entry.binding.as_ref());
        bindings.any(|binding| binding.question.is_some())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All lanes. A lane is taken out while it is worked on, and put back with what still waits.
#[derive(Debug)]
pub struct Queue<L, T> {
    lanes: HashMap<L, Lane<T>>,
    len: usize,
    limit: usize,
    questions: Questions,
}

impl<L: Hash + Eq + Copy, T: Waiting> Queue<L, T> {
    /// Nothing waits; at most `limit` should, in all lanes together.
    pub fn new(limit: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            len: 0,
            limit,
            questions: Questions::new(),
        }
    }

    /// How many wait, without those in lanes that are taken out.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many may wait.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// By how many there would be too many, with this lane.
    pub fn excess(&self, lane: &Lane<T>) -> usize {
        (self.len + lane.len()).saturating_sub(self.limit)
    }

    /// A lane in which something waits.
    pub fn lane(&self, name: &L) -> Option<&Lane<T>> {
        self.lanes.get(name)
    }

    /// The lanes in which something waits.
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

    /// Looks who all in a lane were, as far as there may be better answers by now, and notes what is to be asked.
    pub fn bind(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        for entry in &mut lane.0 {
            entry.bind(identities, &mut self.questions);
        }
    }

    /// The same of the last one, which has just come.
    pub fn bind_last(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        if let Some(last) = lane.0.back_mut() {
            last.bind(identities, &mut self.questions);
        }
    }

    /// The same of the first one, which is to leave next.
    pub fn bind_first(&mut self, lane: &mut Lane<T>, identities: &dyn Identities) {
        if let Some(first) = lane.0.front_mut() {
            first.bind(identities, &mut self.questions);
        }
    }

    /// Notes what else is to be asked.
    pub fn ask(&mut self, question: Option<Question>) {
        self.questions.extend(question);
    }

    /// What was asked since the last time, for the observer.
    pub fn take_questions(&mut self) -> Questions {
        std::mem::take(&mut self.questions)
    }
}

#[cfg(test)]
mod tests;
