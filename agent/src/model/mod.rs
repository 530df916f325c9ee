//! Adds up what the flows count: per point, per caller, per dependent. Pure state, no I/O.
//!
//! Who is counted where:
//!
//! - a flow whose sockets a point owns is that point's load, on the side that its role says;
//! - an outgoing flow to an address of a point is what that point's callers see of it, and one of its caller's ways out;
//! - a flow that a point accepted is its dependent's: the workload at the other end, or, for a proxy that listens inside
//!   the workload's network namespace, the workload of that namespace;
//! - a failed connection to a point is its caller's. The failures that the point's own sockets show are counted there;
//!   a handshake that came to nothing shows only at the caller, and is taken from there. No failure is counted twice;
//! - a flow that a point opened is the workload's at its other end, which is reached through the point (*served*). Of a proxy that
//!   listens inside a workload's network namespace, only its deliveries to that workload are: others have ways of their own.
//!
//! In a cluster, who somebody is may become known late, and an address may have been reassigned. So what a flow counted
//! waits: a point's own load only until its cgroup is known, and what concerns the other end until both ends are known and updates
//! about them would have come; at the longest for a bounded time, and then it counts as unknown.

mod attribution;
mod boundary;
mod bounded;
mod bounds;
mod called;
mod delta;
mod endpoints;
mod known;
mod load;
mod moment;
mod reach;
mod recall;
mod recent;
mod resources;
pub mod rows;
pub mod saturation;
mod status;
mod succession;
mod sums;
mod waiting;
mod ways;

pub use attribution::{End, Found};
pub use boundary::{Boundary, ByKind, Bypass, Connections, Mode, Pair, PairEnd};
pub use bounded::{Bounded, Row};
pub use bounds::Bounds;
pub use called::{Called, CalledPoint};
pub use endpoints::{Counts, Endpoints, Share};
pub use load::{AcceptQueue, PointLoad, Side};
pub use moment::Moment;
pub use reach::{Reach, Window};
pub use recall::Remembered;
pub use resources::Resources;
pub use status::Status;
pub use sums::Model;
