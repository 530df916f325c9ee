//! What a test tells all open watches.

use std::time::Duration;

use tokio::sync::watch;

/// A channel for each, of which every watch holds the other end.
#[derive(Debug)]
pub(super) struct Signals {
    /// There may be something new.
    pub changed: watch::Sender<()>,
    /// Send a bookmark.
    pub bookmark: watch::Sender<()>,
    /// Send a bookmark so often.
    pub bookmark_every: watch::Sender<Duration>,
    /// Say that the version is too old, and end.
    pub expire: watch::Sender<()>,
    /// End at once.
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
