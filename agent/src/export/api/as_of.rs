//! The moment that an answer describes.

use super::super::snapshot::Snapshot;
use crate::{api::AsOf, clock};

/// The tick of this snapshot.
pub fn as_of(snapshot: &Snapshot) -> AsOf {
    AsOf {
        tick: snapshot.tick.number,
        time: clock::rfc3339(snapshot.tick.time),
        node: snapshot.identity.cluster.as_ref().map(|cluster| cluster.node.clone()),
        rate_span_seconds: snapshot.rates.seconds,
        tick_error: snapshot.tick.error.clone(),
    }
}
