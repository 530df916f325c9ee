//! Sums up the counters of flows: per point, per caller, per dependent. Pure state, no I/O.
//!
//! What is counted where:
//!
//! - a flow whose sockets a point owns is that point's load, on the side given by its role;
//! - an outgoing flow to an address of a point is what that point's callers see of it, and one of its caller's ways out;
//! - a flow that a point accepted belongs to its dependent: the workload at the other end, or, for a proxy that listens inside
//!   the workload's network namespace, the workload of that namespace;
//! - a failed connection to a point belongs to its caller. Failures that the point's own sockets show are counted there;
//!   a failed handshake shows only at the caller, and is taken from there. No failure is counted twice;
//! - a flow that a point opened belongs to the workload at its other end, which is reached through the point (*served*). For a
//!   proxy that listens inside a workload's network namespace, only its deliveries to that workload count: others have ways of
//!   their own;
//! - a flow that a point opened to a workload that is its mesh's control plane is its link to it, beside what else it counts as.
//!
//! In a cluster, an identity may become known late, and an address may have been reassigned. So the counts of a flow wait: a
//! point's own load only until its cgroup is known, and counts that concern the other end until both ends are known and late
//! updates about them would have arrived; at most for a bounded time, after which they count as unknown.

mod ages;
mod attribution;
mod boundary;
mod bounded;
mod bounds;
mod by_workload;
mod called;
mod carried;
mod control_plane;
mod delta;
mod departures;
mod drains;
mod endpoints;
mod exclusions;
mod hbone;
mod known;
mod load;
mod moment;
mod pair;
mod paths;
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

pub use ages::{FlowAges, HalfClosed};
pub use attribution::{End, Found};
pub use boundary::{Boundary, ByKind, Bypass, Connections, Mode};
pub use bounded::{Bounded, Row};
pub use bounds::Bounds;
pub use by_workload::{Busiest, ByWorkload};
pub use called::{Called, CalledPoint};
pub use control_plane::{Link, RememberedLink};
pub use drains::{Cause as DrainCause, Drain, Instance, RememberedDrain, is_replaced};
pub use endpoints::{Counts, Endpoints, Share};
pub use exclusions::{Cause, Excluded, Exclusions};
pub use hbone::Attempts;
pub use load::{AcceptQueue, PointLoad, Side};
pub use moment::Moment;
pub use pair::{Pair, PairEnd};
pub use paths::{Path, PathTally, Paths};
pub use reach::{Reach, Window};
pub use recall::Remembered;
pub use resources::Resources;
pub use status::Status;
pub use sums::Model;
