//! How a connection or an attempt ended, as it is counted and kept.

use crate::{
    cell::Cell,
    verifier::{element, unknown},
};
use agent_common::Reason;

/// How a connection or an attempt ended.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(u32);

impl Outcome {
    /// Without a failure.
    pub(crate) const CLEAN: Self = Self(0);

    /// It failed for this reason.
    #[inline(always)]
    pub(crate) const fn failed(reason: Reason) -> Self {
        Self(reason as u32 + 1)
    }

    /// As [`Self::failed`], or clean; what follows is the same for the verifier whatever the reason.
    #[inline(always)]
    pub(crate) fn of(reason: Option<Reason>) -> Self {
        let Self(number) = reason.map_or(Self::CLEAN, Self::failed);
        Self(unknown(number))
    }

    /// The number of its [`Reason`], if it failed.
    #[inline(always)]
    pub(crate) const fn reason(self) -> u32 {
        self.0.wrapping_sub(1)
    }

    /// The counter of its reason, if it failed.
    #[inline(always)]
    pub(crate) fn counter(self, failures: &[Cell<u64>; Reason::COUNT]) -> &Cell<u64> {
        element(failures, self.reason())
    }
}
