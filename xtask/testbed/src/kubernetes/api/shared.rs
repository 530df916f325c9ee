//! State shared by all requests: objects, recorded requests, and injected faults.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::fault::Fault;
use super::question::Asked;
use super::resource::Resource;
use super::review::Reviews;
use super::signals::Signals;
use super::store::Store;
use super::write::Written;
use crate::sync::lock;

/// The version of Kubernetes, 1.34, unless a test asks for another.
const NEWEST: u32 = 34;

/// The state that outlives connections.
#[derive(Debug)]
pub(super) struct Shared {
    token: String,
    store: Mutex<Store>,
    written: Mutex<Written>,
    reviews: Mutex<Reviews>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<Vec<Asked>>,
    watches: [AtomicUsize; Resource::ALL.len()],
    /// The version of Kubernetes is 1.`minor`.
    minor: AtomicU32,
    /// Whether the roles have been loaded.
    has_roles: AtomicBool,
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
            written: Mutex::default(),
            reviews: Mutex::default(),
            faults: Mutex::default(),
            asked: Mutex::default(),
            watches: Default::default(),
            minor: AtomicU32::new(NEWEST),
            has_roles: AtomicBool::new(true),
            signals: Signals::new(bookmark_every),
        }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub fn written(&self) -> MutexGuard<'_, Written> {
        lock(&self.written)
    }

    pub fn reviews(&self) -> MutexGuard<'_, Reviews> {
        lock(&self.reviews)
    }

    pub fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        lock(&self.faults)
    }

    pub fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        lock(&self.asked)
    }

    pub fn minor(&self) -> u32 {
        self.minor.load(Ordering::Relaxed)
    }

    pub fn set_minor(&self, minor: u32) {
        self.minor.store(minor, Ordering::Relaxed);
    }

    pub fn has_roles(&self) -> bool {
        self.has_roles.load(Ordering::Relaxed)
    }

    pub fn set_has_roles(&self, has_roles: bool) {
        self.has_roles.store(has_roles, Ordering::Relaxed);
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
