//! Locks within this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex; ignores poisoning, as all data in this crate stay consistent when a thread panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
