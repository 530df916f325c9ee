//! The one question that is asked of identities, by whoever counts connections and by whoever tells of failed ones.

use super::{Binding, Span};
use agent_common::FlowKey;

/// Answers who somebody was. Implementations look nowhere and change nothing, so that an answer depends on nothing but the
/// question and the generation.
pub trait Identities {
    /// Changes whenever an answer may be another one.
    fn generation(&self) -> u64;

    /// Who a flow belonged to when it did what it did in `span`.
    fn bind(&self, key: &FlowKey, span: Span) -> Binding;
}
