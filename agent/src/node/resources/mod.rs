//! CPU time, memory and open files of points, read from the node's files.
//!
//! A point is one or more cgroups, with all groups below them. Its usage is that of the topmost ones. A limit of a group
//! above the point applies to it as well, and all members of that group use it up: so each group on the way to the root
//! that has a limit is read with its own usage.
//!
//! Where the cgroup2 tree lacks a controller, a hierarchy of cgroup v1 may have it; there the groups of a process have other
//! paths, and may also contain processes of other owners.

mod cpu;
mod files;
mod group;
mod memory;
mod place;
mod pressure;
mod reader;
mod survey;
mod text;
mod tree;

pub use cpu::Bandwidth;
pub use files::Files;
pub use pressure::Pressure;
pub use reader::Reader;

use std::time::{Duration, Instant};

/// Identifies a cgroup; never reused for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    /// The hierarchy that it is in.
    pub tree: Tree,
    /// The inode number of its directory.
    pub inode: u64,
}

/// A hierarchy of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tree {
    /// The hierarchy of cgroup2.
    Unified,
    /// The hierarchy of cgroup v1 with the cpu controller.
    OldCpu,
    /// The hierarchy of cgroup v1 with the memory controller.
    OldMemory,
}

/// The counters of a group since it was created; `None` where the node does not offer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// CPU time used by the group.
    pub used: Option<Duration>,
    /// Throttling by its CFS quota.
    pub bandwidth: Option<Bandwidth>,
    /// Time that threads waited for a CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Time that threads waited for memory.
    pub memory_pressure: Option<Pressure>,
    /// The number of OOM kills.
    pub oom_kills: Option<u64>,
}

/// A group of a point, or above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Identifies the group in its hierarchy.
    pub id: GroupId,
    /// Whether it contains the point only, and no other group of the reading includes it.
    pub own: bool,
    /// The counters of the group.
    pub counters: Counters,
    /// The number of CPUs that it may use; `None` when it may use all.
    pub cpu_limit: Option<f64>,
    /// Its working set in bytes.
    pub memory: Option<u64>,
    /// Its memory limit in bytes; `None` when it has none.
    pub memory_limit: Option<u64>,
}

/// The capacity of the machine; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The number of CPUs.
    pub processors: Option<u64>,
    /// The size of its memory, in bytes.
    pub memory: Option<u64>,
}

/// Open files of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFiles {
    /// Those of the process that is closest to its limit.
    Closest(Files),
    /// They cannot be counted on this node.
    Unknown,
    /// They were not counted this time, as counting takes long.
    AsBefore,
}

/// The resources of one point at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When they were read.
    pub at: Instant,
    /// Its groups, and those above it that have a limit.
    pub groups: Vec<Group>,
    /// The number of CPUs that it may use under all limits; `None` when it may use all.
    pub cpu_limit: Option<f64>,
    /// Its working set in bytes; if no group contains the point only, the sum of the memory of its processes.
    pub memory: Option<u64>,
    /// Memory that it may use under all limits, in bytes; `None` when it may use all.
    pub memory_limit: Option<u64>,
    /// Its open files, and their limit.
    pub files: OpenFiles,
    /// The capacity of the machine, which applies without limits.
    pub machine: Machine,
}
