//! What is measured inside a point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{load::BySide, name::WorkloadName};

/// Callers that are no workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct UnnamedCallers {
    /// What they are: `point`, `node`, `external` or `unknown`.
    pub caller: String,
    /// Connections that the point accepted from them.
    pub accepted_total: u64,
}

/// The accept queues of one port: a reuseport group counts as one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct AcceptQueue {
    /// The port that the point listens on.
    pub port: u16,
    /// Sockets that listen on it, one for each worker with `SO_REUSEPORT`.
    pub listeners: u64,
    /// Connections that wait to be accepted; `null` where this kernel does not show it.
    pub queued_connections: Option<u64>,
    /// The backlogs given to `listen`, summed.
    pub limit_connections: u64,
    /// How full the fullest listener is: at 1 it drops the next handshake; `null` where this kernel does not show it.
    pub utilization_ratio: Option<f64>,
    /// How long the oldest connection has waited; `null` where that is not known.
    pub oldest_seconds: Option<f64>,
    /// Handshakes that were dropped; `null` where this kernel does not show it.
    pub drops_total: Option<u64>,
}

/// Why what is inside a point is not known; each is `null` where it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct InsideMissing {
    /// Why there are no `accept_queues`.
    pub accept_queues: Option<String>,
    /// Why it is not known how many connections wait in them, and for how long.
    pub queued_connections: Option<String>,
    /// Why it is not known how many handshakes they dropped.
    pub accept_queue_drops: Option<String>,
    /// Why unread bytes, and connections stalled on them, are not known.
    pub unread_bytes: Option<String>,
    /// Why unacknowledged bytes are not known.
    pub unacknowledged_bytes: Option<String>,
    /// Why the ages of open connections are not known.
    pub ages: Option<String>,
    /// Why `drops` are not known.
    pub drops: Option<String>,
    /// Why `exits` are not known.
    pub exits: Option<String>,
}

/// How evenly the threads of a point share its work.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Threads {
    /// CPU time of the busiest thread in the last tick, as a share of one CPU: at 1 it was never idle. `null` where it is not known.
    pub busiest_cpu_ratio: Option<f64>,
    /// That thread's share of the CPU time of all threads.
    pub busiest_cpu_share_ratio: Option<f64>,
    /// The share of the open downstream connections that the thread with the most of them has.
    pub busiest_connections_share_ratio: Option<f64>,
    /// Threads that serve downstream connections.
    pub serving_threads: Option<usize>,
    /// What is missing where a value is not known.
    pub missing: Option<String>,
}

/// The open sockets of one side, as the last walk over open files found them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Sockets {
    /// Bytes that have arrived and that the point has not read; `null` where this kernel does not show it.
    pub unread_bytes: Option<u64>,
    /// Bytes that the point has written and its peers have not acknowledged; `null` where this kernel does not show it.
    pub unacknowledged_bytes: Option<u64>,
    /// Connections with waiting bytes of which the point has read nothing for a tick; `null` where this kernel does not show it.
    pub stalled_unread_connections: Option<u64>,
}

/// How old open connections are: what a restart would cut.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Ages {
    /// All open connections, by side; `null` for a point that does not run on this node, or where open connections are not walked.
    pub open: Option<BySide<Vec<ByAge>>>,
    /// The number of connections of the dependent that has the most, and of up to nine others, that have reached an age.
    pub dependents: Vec<DependentAges>,
}

/// The number of connections that have reached an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ByAge {
    /// The age that they have reached, in seconds.
    pub min_age_seconds: u32,
    /// Connections that are at least so old.
    pub connections: u64,
}

/// How old the open connections of a dependent are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DependentAges {
    /// The workload; `null` for a sum.
    pub workload: Option<WorkloadName>,
    /// `_other` or `unknown` for a sum; `null` for a workload.
    pub rest: Option<String>,
    /// Its open connections, by the ages that they have reached.
    pub open: Vec<ByAge>,
}

/// Connections that one end has closed and the other one has not: leaks, when they grow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct HalfClosed {
    /// `downstream` or `upstream`.
    pub side: String,
    /// The workload at the other end; `null` for a sum.
    pub workload: Option<WorkloadName>,
    /// `_other` or `unknown` for a sum; `null` for a workload.
    pub rest: Option<String>,
    /// Connections that the peer has closed, and the point has not.
    pub closed_by_peer_connections: u64,
    /// Connections that the point has closed, and the peer has not.
    pub closed_by_point_connections: u64,
}

/// Packets that the kernel dropped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Drops {
    /// The kernel's drop reason, such as `netfilter_drop`.
    pub reason: String,
    /// `received` or `sent`, by the point.
    pub direction: String,
    /// Packets dropped since the point was recognised.
    pub packets_total: u64,
}

/// Processes that ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Exits {
    /// `exited`, `killed` (by a signal) or `oom_killed` (by the kernel, as memory ran out).
    pub how: String,
    /// How many; `null` where this kernel does not show it.
    pub processes_total: Option<u64>,
}

/// CPU time, memory and open files; `null` where this node does not provide it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Resources {
    /// CPU time used, in user and kernel mode.
    pub cpu_seconds_total: Option<f64>,
    /// CPUs that it may use; `null` when it may use all of the machine's.
    pub cpu_limit_cores: Option<f64>,
    /// Time that its quota throttled it.
    pub cpu_throttled_seconds_total: Option<f64>,
    /// Its working set.
    pub memory_bytes: Option<u64>,
    /// Bytes that it may use; `null` when it may use all of the machine's.
    pub memory_limit_bytes: Option<u64>,
    /// Open files of the process that is closest to its limit.
    pub open_files: Option<OpenFiles>,
    /// Processes that the kernel's OOM killer ended.
    pub oom_kills_total: Option<u64>,
}

/// Open files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct OpenFiles {
    /// Descriptors that the process has open.
    pub open: u64,
    /// Its soft limit.
    pub limit: u64,
}

/// A signal, and whether this node supports it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Signal {
    /// Its name, or that of its kernel program.
    pub name: String,
    /// What it is for.
    pub what: String,
    /// Whether it is active, or will be when it is needed.
    pub active: bool,
    /// Why it is not.
    pub reason: Option<String>,
}
