//! Tallies that several threads share.

use std::sync::{Mutex, MutexGuard};

use crate::sync::lock;

/// A tally that several threads update and others read.
#[derive(Debug, Default)]
pub(crate) struct Board<T>(Mutex<T>);

impl<T: Copy> Board<T> {
    /// Applies a change to the tally.
    pub(crate) fn note(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.open());
    }

    /// The tally as it is now.
    pub(crate) fn read(&self) -> T {
        *self.open()
    }

    fn open(&self) -> MutexGuard<'_, T> {
        lock(&self.0)
    }
}
