//! The lookup of identities, as used for counting connections and for reporting failed ones.

use super::{Binding, Span};
use agent_common::FlowKey;

/// Looks up who the ends of a flow were. Implementations do no I/O and change nothing, so an answer depends only on the question
/// and the generation.
pub trait Identities {
    /// Changes whenever an answer may have changed.
    fn generation(&self) -> u64;

    /// The ends of a flow, as they were in `span`.
    fn bind(&self, key: &FlowKey, span: Span) -> Binding;
}
