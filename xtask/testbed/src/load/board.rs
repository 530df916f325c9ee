//! Keeping count among threads.

use std::sync::{Mutex, MutexGuard};

use crate::sync::lock;

/// A tally that several threads keep and others read.
#[derive(Debug, Default)]
pub(crate) struct Board<T>(Mutex<T>);

impl<T: Copy> Board<T> {
    /// Changes the tally.
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
