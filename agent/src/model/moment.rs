//! When a reading of the kernel's tables was taken.

use crate::identity::Span;
use std::time::Instant;

/// The moment of a reading.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When the reading is processed.
    pub at: Instant,
    /// The time since the previous reading, in which everything that is read now happened.
    pub span: Span,
}
