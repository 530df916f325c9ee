//! The links of points to their control planes.

use super::{
    rows::{by_reason, local, point_labels},
    snapshot::Snapshot,
};
use crate::{
    clock::Millis,
    metrics::{
        Encoder, Labels,
        control_plane::{CHANGED, CONNECTIONS, FAILURES, LAST_RECEIVED, OPENED},
        labels::CONTROL_PLANE,
        with,
    },
    model::Link,
};
use std::fmt;

/// Encodes the families of [`crate::metrics::control_plane`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    encoder.write(
        &CONNECTIONS,
        links(snapshot).map(|(labels, link)| (labels, link.connections())),
    )?;
    encoder.write(
        &CHANGED,
        links(snapshot).map(|(labels, link)| (labels, seconds(link.changed))),
    )?;
    encoder.write(
        &LAST_RECEIVED,
        links(snapshot).filter_map(|(labels, link)| Some((labels, seconds(link.received?)))),
    )?;
    encoder.write(&OPENED, links(snapshot).map(|(labels, link)| (labels, link.opened)))?;
    encoder.write(
        &FAILURES,
        links(snapshot).flat_map(|(labels, link)| by_reason(labels, &link.failures)),
    )
}

fn links(snapshot: &Snapshot) -> impl Iterator<Item = (Labels<'_>, &Link)> {
    local(snapshot).flat_map(|row| {
        row.links.iter().map(|link| {
            let values = [link.namespace.as_str(), link.name.as_str()];
            let names = CONTROL_PLANE.iter().map(|label| label.name);
            (with(point_labels(row), names.zip(values)), link)
        })
    })
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}
