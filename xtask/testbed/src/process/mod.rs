//! Child processes with a placement, which can be paused, and which cannot outlive their parent.

mod child;
mod control;
mod daemon;
mod placement;
mod rank;
mod start;

pub use child::Child;
pub use daemon::Daemon;
pub use placement::{Placement, spawn};
pub(crate) use start::start;
pub use start::{start_behind, start_beside};
