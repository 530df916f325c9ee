//! The fill level of a table.

use schemars::JsonSchema;
use serde::Serialize;

/// A table with a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Table {
    /// Number of entries in use.
    pub used: usize,
    /// Upper bound for the number of entries.
    pub limit: usize,
    /// How many entries were rejected so far.
    #[serde(skip)]
    pub rejected: u64,
}
