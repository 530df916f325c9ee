//! Shows snapshots: as metrics, and over HTTP.

mod collector;
mod families;
mod http;
mod own;
mod process;
mod snapshot;
mod text;

pub use http::router;
pub use snapshot::{Bound, ClusterStatus, InventoryStatus, PointRow, Shared, Snapshot};
