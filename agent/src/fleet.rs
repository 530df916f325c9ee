//! Whose answers an answer about all nodes is made of. Part of the interface.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The agents that were asked for an answer about all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Nodes {
    /// The nodes whose agents have answered, by name; the first is that of the agent that was asked.
    pub answered: Vec<String>,
    /// The agents that have not. What they know is not in the answer.
    pub missing: Vec<Missing>,
}

/// An agent that has not answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub struct Missing {
    /// Its address, as `<address>:<port>`; as configured when that could not be resolved.
    pub address: String,
    /// Its node, if it has answered before; else `null`.
    pub node: Option<String>,
    /// Why, for programs: `unresolved`, `unreachable`, `too_slow`, `too_large`, `refused`, `unexpected`, `duplicate` or `not_asked`.
    pub error: String,
    /// Why, for people.
    pub message: String,
}

impl Missing {
    /// The node, else the address.
    pub fn name(&self) -> &str {
        self.node.as_deref().unwrap_or(&self.address)
    }
}
