//! Exports snapshots, as metrics and over HTTP, and failed connections one by one.

mod boundary;
mod collector;
mod dependency;
mod failures;
mod http;
mod own;
mod process;
mod rows;
mod saturation;
mod snapshot;
mod text;

pub use collector::series;
pub use http::router;
pub use snapshot::{ClusterStatus, Identity, InventoryStatus, Reported, Shared, Snapshot, Tick};
