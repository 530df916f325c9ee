//! How full a table is.

use serde::Serialize;

/// A table with a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Entries in use.
    pub used: usize,
    /// Entries that there may be.
    pub limit: usize,
    /// How many found no place so far.
    #[serde(skip)]
    pub rejected: u64,
}
