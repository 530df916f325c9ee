//! Signals of a test to all open watches.

use std::time::Duration;

use tokio::sync::watch;

/// A channel for each signal; every watch has a receiver.
#[derive(Debug)]
pub(super) struct Signals {
    /// Objects may have changed.
    pub changed: watch::Sender<()>,
    /// Send a bookmark now.
    pub bookmark: watch::Sender<()>,
    /// Send a bookmark at this interval.
    pub bookmark_every: watch::Sender<Duration>,
    /// Send the event that the version is too old, and end.
    pub expire: watch::Sender<()>,
    /// Cut the connection at once.
    pub drop: watch::Sender<()>,
}

impl Signals {
    pub fn new(bookmark_every: Duration) -> Self {
        Self {
            changed: watch::Sender::new(()),
            bookmark: watch::Sender::new(()),
            bookmark_every: watch::Sender::new(bookmark_every),
            expire: watch::Sender::new(()),
            drop: watch::Sender::new(()),
        }
    }
}
