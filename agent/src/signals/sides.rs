//! Counters by the role of a socket: of connections that a point opened, or accepted.

use crate::metrics::{Labels, with};

/// The values of the `side` label, in the order in which the kernel counts: [`agent_common::Role`].
pub const SIDES: [&str; 2] = ["upstream", "downstream"];

/// A row for each side of each point.
pub fn by_side<'a, T: 'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a [T; 2])>,
) -> impl Iterator<Item = (Labels<'a>, &'a T)> {
    points.flat_map(|(labels, sides)| {
        SIDES
            .into_iter()
            .zip(sides)
            .map(|(side, value)| (with(labels.clone(), [("side", side)]), value))
    })
}
