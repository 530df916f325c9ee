//! What the node's files say of a point's processor time, memory and open files.
//!
//! A point is one or more cgroups, with all that is below them. Their use is that of the topmost ones. A limit of a group
//! above concerns a point as much as its own, and everybody in that group uses it up: so each group on the way to the root
//! that has a limit is read with its own use.
//!
//! Where the cgroup2 tree lacks a controller, the hierarchies of cgroup v1 may have it; there a process is in groups of other
//! paths, and perhaps in the company of others.

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

/// A cgroup, for as long as it lives and for ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    /// Which hierarchy it is in.
    pub tree: Tree,
    /// The inode of its directory.
    pub inode: u64,
}

/// A hierarchy of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tree {
    /// cgroup2.
    Unified,
    /// That of cgroup v1 with the cpu controller.
    OldCpu,
    /// That of cgroup v1 with the memory controller.
    OldMemory,
}

/// What a group has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Processor time.
    pub used: Option<Duration>,
    /// How its quota has held it back.
    pub bandwidth: Option<Bandwidth>,
    /// Time that threads waited for a processor.
    pub cpu_pressure: Option<Pressure>,
    /// Time that threads waited for memory.
    pub memory_pressure: Option<Pressure>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// A group that a point is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which.
    pub id: GroupId,
    /// Whether all that it counts is the point's, and nothing of that is counted by another group of the reading.
    pub own: bool,
    /// What it has counted.
    pub counters: Counters,
    /// Processors that it may use; `None` when it may use all.
    pub cpu_limit: Option<f64>,
    /// Its working set in bytes.
    pub memory: Option<u64>,
    /// Bytes that it may use; `None` when it may use all.
    pub memory_limit: Option<u64>,
}

/// What the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub processors: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
}

/// Open files of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFiles {
    /// Those of the process that is closest to its limit.
    Closest(Files),
    /// They cannot be known.
    Unknown,
    /// They were not looked at this time, because that takes long.
    AsBefore,
}

/// What the files said of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Its groups, and those above that have a limit.
    pub groups: Vec<Group>,
    /// Processors that it may use by all limits together; `None` when it may use all.
    pub cpu_limit: Option<f64>,
    /// Its working set in bytes; when it is no group's alone, the sum of what its processes hold.
    pub memory: Option<u64>,
    /// Bytes that it may use by all limits together; `None` when it may use all.
    pub memory_limit: Option<u64>,
    /// Open files.
    pub files: OpenFiles,
    /// What there is without limits.
    pub machine: Machine,
}
