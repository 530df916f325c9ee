//! Exports snapshots, as metrics and over HTTP, and failed connections one by one.

mod boundary;
mod collector;
mod control_plane;
mod dependency;
mod drains;
mod encoded;
mod failures;
mod half_closed;
mod http;
mod negotiate;
mod own;
mod paths;
mod process;
mod rows;
mod saturation;
#[cfg(test)]
mod sizing;
mod snapshot;
#[cfg(test)]
mod synthetic;

pub use collector::series;
pub use http::{Api, Arrival, Reception, Service};
pub use snapshot::{ClusterStatus, Identity, InventoryStatus, Reported, Shared, Snapshot, Tick};
