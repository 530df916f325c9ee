//! Locks of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays sound when a holder panics, as all of this crate does.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
