//! State shared by all requests: objects, recorded requests, and injected faults.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::fault::Fault;
use super::question::Asked;
use super::resource::Resource;
use super::signals::Signals;
use super::store::Store;
use crate::sync::lock;

/// The state that outlives connections.
#[derive(Debug)]
pub(super) struct Shared {
    token: String,
    store: Mutex<Store>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<Vec<Asked>>,
    watches: [AtomicUsize; Resource::ALL.len()],
    pub signals: Signals,
}

/// Counts an open watch while it exists.
pub(super) struct Counted {
    shared: Arc<Shared>,
    resource: Resource,
}

impl Shared {
    pub fn new(token: String, bookmark_every: Duration) -> Self {
        Self {
            token,
            store: Mutex::new(Store::new()),
            faults: Mutex::default(),
            asked: Mutex::default(),
            watches: Default::default(),
            signals: Signals::new(bookmark_every),
        }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        lock(&self.faults)
    }

    pub fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        lock(&self.asked)
    }

    pub fn watches(&self, resource: Resource) -> usize {
        self.watches[resource.index()].load(Ordering::Relaxed)
    }

    pub fn count_watch(self: &Arc<Self>, resource: Resource) -> Counted {
        self.watches[resource.index()].fetch_add(1, Ordering::Relaxed);
        Counted {
            shared: self.clone(),
            resource,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.watches[self.resource.index()].fetch_sub(1, Ordering::Relaxed);
    }
}
