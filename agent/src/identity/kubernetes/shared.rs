//! State shared by the reflectors and the tick.

use super::{
    directory::{Directory, Setup},
    objects::{Pod, Reference},
    pod::key_of_reference,
    source::Source,
    status::SourceStatus,
};
use crate::clock::now;
use std::{
    pin::pin,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

/// What is known of the cluster: changed by the reflectors, read by the tick.
pub struct Shared {
    /// Read-locked for a whole pass over the flows instead of copied: of a hundred thousand pods, nearly all are unchanged between
    /// ticks, and the reflectors, which wait meanwhile, lag by far more than the tenth of a second that a pass takes.
    directory: RwLock<Directory>,
    synced: Notify,
    /// Incremented each time all pods must be listed again.
    relist_pods: watch::Sender<u64>,
}

impl Shared {
    /// An empty directory for these lists.
    pub fn new(setup: Setup, sources: &[Source]) -> Self {
        let statuses = sources.iter().map(|source| SourceStatus::new(*source, now())).collect();
        Self {
            directory: RwLock::new(Directory::new(setup, statuses)),
            synced: Notify::new(),
            relist_pods: watch::Sender::new(0),
        }
    }

    /// Read access; nothing changes while the guard is held. A holder must not call this again meanwhile. (A directory whose writer
    /// panicked between two objects is still consistent.)
    pub fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Write access to the directory.
    pub fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a list is being read.
    pub fn reads(&self, source: Source) -> bool {
        self.directory().statuses().iter().any(|status| status.source == source)
    }

    /// Changes when all pods must be listed again.
    pub fn relists_of_pods(&self) -> watch::Receiver<u64> {
        self.relist_pods.subscribe()
    }

    /// Adds or updates an object, as the API server sent it, and returns its key.
    ///
    /// # Errors
    /// What could not be parsed.
    pub fn apply(&self, source: Source, raw: &str, now: i64) -> Result<u128, String> {
        fn read<'a, T: serde::Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
            serde_json::from_str(raw).map_err(|error| error.to_string())
        }
        // Parsed before the lock is taken.
        match source {
            Source::NodePods | Source::ClusterPods => {
                let pod: Pod = read(raw)?;
                Ok(self.directory_mut().apply_pod(source, &pod, now))
            }
            Source::Services => {
                let service = read(raw)?;
                Ok(self.directory_mut().apply_service(&service))
            }
            Source::Namespaces => {
                let namespace = read(raw)?;
                Ok(self.directory_mut().apply_namespace(namespace))
            }
            Source::Nodes => {
                let node = read(raw)?;
                Ok(self.directory_mut().apply_node(&node))
            }
            Source::MeshConfig => {
                let map = read(raw)?;
                let mut directory = self.directory_mut();
                let key = directory.apply_config_map(&map)?;
                if directory.take_relist_pods() {
                    self.relist_pods.send_modify(|times| *times += 1);
                }
                Ok(key)
            }
        }
    }

    /// Deletes an object, which is given in its last state.
    ///
    /// # Errors
    /// What could not be parsed.
    pub fn delete(&self, source: Source, raw: &str, now: i64) -> Result<(), String> {
        let reference: Reference = serde_json::from_str(raw).map_err(|error| error.to_string())?;
        let key = key_of_reference(&reference);
        // Its end, if that can be parsed.
        let pod: Option<Pod> = serde_json::from_str(raw).ok();
        let mut directory = self.directory_mut();
        match source {
            Source::NodePods | Source::ClusterPods => directory.delete_pod(source, key, pod.as_ref(), now),
            _ => directory.delete(source, key, now),
        }
        Ok(())
    }

    /// A list is complete, or has failed: wakes tasks that wait for it.
    pub fn notify(&self) {
        self.synced.notify_waiters();
    }

    /// Waits, at most for `longest`, for the lists that must be complete before others are read; not for lists that the agent's
    /// role forbids.
    pub async fn wait_for(&self, first: &[Source], longest: Duration) {
        let deadline = Instant::now() + longest;
        loop {
            let notified = self.synced.notified();
            let mut notified = pin!(notified);
            // From here on no notification is missed.
            notified.as_mut().enable();
            let there = self
                .directory()
                .statuses()
                .iter()
                .all(|status| status.synced || status.forbidden || !first.contains(&status.source));
            if there || timeout_at(deadline, notified).await.is_err() {
                return;
            }
        }
    }
}
