//! Lists of failures, as agents send them.

use crate::{cli::http::Client, failures::List};
use serde_json::value::RawValue;

/// The number of records of all nodes together that are requested: the most that an agent gives.
pub const LIMIT_OF_ALL: usize = 5_000;

/// Reads a list, of which each failure stays as it was sent.
///
/// # Errors
/// When it is something else.
pub fn understood(client: &Client, body: &[u8]) -> anyhow::Result<List<Box<RawValue>>> {
    serde_json::from_slice(body).map_err(|_| {
        let why = "not a list of failures, so it is not an agent of Narrows";
        client.asked().unexpected(why).into()
    })
}
