//! Shows snapshots, as metrics and over HTTP, and failed connections one by one.

mod collector;
mod failures;
mod families;
mod http;
mod inside;
mod own;
mod process;
mod saturation;
mod snapshot;
mod text;

pub use http::router;
pub use snapshot::{Bound, ClusterStatus, InventoryStatus, PointRow, Shared, Snapshot};
