//! Signals: what the agent exports where the kernel and the node support it, and reports as off where they do not.

use schemars::JsonSchema;
use serde::Serialize;

/// A signal, and whether this node supports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Signal {
    /// The value of the `signal` label.
    pub name: &'static str,
    /// What it is for, in terms of the metrics.
    pub what: &'static str,
    /// Whether it is available.
    pub active: bool,
    /// Why it is not available.
    pub reason: Option<String>,
}

impl Signal {
    /// The status that follows from the outcome.
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
