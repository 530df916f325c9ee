//! Signals: what the agent shows where the kernel and the node offer it, and says to be off where they do not.

use serde::Serialize;

/// Something that depends on what this node offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// Its name, the value of the `signal` label.
    pub name: &'static str,
    /// What it is for, in the words of the metrics.
    pub what: &'static str,
    /// Whether it is there.
    pub active: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Signal {
    /// One that is there, or is not for this reason.
    pub fn new(name: &'static str, what: &'static str, outcome: Result<(), String>) -> Self {
        let reason = outcome.err();
        Self {
            name,
            what,
            active: reason.is_none(),
            reason,
        }
    }
}
