//! Shows snapshots: as metrics, and over HTTP.

mod collector;
mod families;
mod http;
mod own;
mod process;
mod snapshot;
mod text;

pub use http::{Shared, router};
pub use snapshot::{Bound, InventoryStatus, PointRow, Snapshot};
