//! What the API tells of points, workloads and time lines: the types of its answers, written by the agent (`export`), read by the page
//! and `narrows top`. Part of the interface.
//!
//! Names carry units: `_seconds`, `_bytes`, `_ratio` (0 to 1), `_per_second` (over the last tick), `_total` (since the agent's first
//! start). What is not known is `null`, never 0, and a field `missing` beside it says why.

mod answer;
mod carried;
mod history;
mod id;
mod inside;
mod load;
mod name;
mod openapi;
mod paths;
mod point;
mod saturation;
mod sources;
mod status;
mod trouble;
mod workload;

pub use answer::{AsOf, Problem};
pub use carried::{Carried, CarriedEnd};
pub use history::{History, Lines, Sample};
pub use id::{point_id, workload_id};
pub use inside::{
    AcceptQueue, Ages, ByAge, DependentAges, Drops, Exits, HalfClosed, InsideMissing, OpenFiles, Resources, Signal,
    Sockets, Threads, UnnamedCallers,
};
pub use load::{BySide, Delay, Delays, Failures, Load, ReasonCount, SideLoad, Vantage};
pub use name::{PointName, WorkloadName};
pub use openapi::document;
pub use paths::{Certainty, Edge, Group, Node, NodeType, Paths};
pub use point::{ControlPlaneLink, Counts, DrainState, Endpoint, Point, PointDetail, PointList, Rest, View};
pub use saturation::{ChokeRisk, Resource, Saturation};
pub use sources::{ClusterStatus, InventoryStatus, SourceRow};
pub use status::{Bounds, Lost, Status};
pub use trouble::{Severity, Trouble, TroubleReason};
pub use workload::{Traffic, Use, WorkloadList, WorkloadUse};
