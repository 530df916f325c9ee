//! What is wrong with a point, in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad it is. The order is that of the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is wrong, as far as the signals of this node tell.
    #[default]
    Ok,
    /// Worth a look; nobody is harmed.
    Notice,
    /// Somebody is harmed a little, or will be soon.
    Warning,
    /// Callers are harmed now.
    Critical,
}

/// What is wrong with a point. A ranking, not a measurement: the score orders points, and the reasons say why.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Trouble {
    /// From 0 (nothing is wrong) to 1: 1 minus the product of (1 − score) over the reasons.
    pub score: f64,
    /// The severity of the worst reason.
    pub severity: Severity,
    /// All reasons, the worst first.
    pub reasons: Vec<TroubleReason>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct TroubleReason {
    /// What is wrong, for programs: `saturation`, `caller_failures`, `downstream_failures`, `upstream_failures`,
    /// `accept_queue_drops`, `not_running`, `read_delay`, `forward_delay`, `busy_thread`, `control_plane`, `drain` or, with `nodes=all`, `callers_elsewhere`.
    pub what: String,
    /// How bad it is.
    pub severity: Severity,
    /// How much it counts, from 0 to 1.
    pub score: f64,
    /// A sentence without a period, with the numbers.
    pub text: String,
}
