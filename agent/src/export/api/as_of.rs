//! The moment that an answer describes.

use super::super::snapshot::Snapshot;
use crate::{api::AsOf, clock};

/// The tick of this snapshot.
pub fn as_of(snapshot: &Snapshot) -> AsOf {
    let tick = &snapshot.tick;
    AsOf {
        tick: tick.number,
        time: clock::rfc3339(tick.time),
        node: snapshot.identity.cluster.as_ref().map(|cluster| cluster.node.clone()),
        interval_seconds: tick.interval.as_secs_f64(),
        rate_span_seconds: snapshot.rates.seconds,
        tick_error: tick.error.clone(),
    }
}
