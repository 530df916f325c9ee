//! Types that the kernel programs write and the agent reads.
//!
//! All types are `repr(C)` without implicit padding, so that both sides interpret the same bytes in the same way.

#![no_std]

mod cgroup;
mod declare;
mod failure;
mod flow;
mod lifetime;
mod listener;
mod loss;
mod offsets;
mod path;
mod point;
mod reason;
mod settings;

/// The version of the maps' contents: increase it when the same bytes get another meaning. (Changes of a map's size or type are
/// detected without it.)
pub const LAYOUT: u32 = 2;

/// The upper limit of thread ids (`PID_MAX_LIMIT` in `include/linux/threads.h`, on 64-bit machines).
pub const THREADS: u32 = 1 << 22;

pub use cgroup::{CGROUP_PATH, CgroupEvent};
pub use declare::Count;
pub use failure::FailureEvent;
pub use flow::{BUCKETS, Flow, FlowKey, Role, bucket, one_more_seen};
pub use lifetime::{AGE_BOUNDS, AGES, AgeKey, FlowAges, Lifetimes, age_class};
pub use listener::ListenerSample;
pub use loss::Loss;
pub use offsets::{ABSENT, Field, Offsets};
pub use path::{Caller, Certainty, PathCounts, PathKey, READS_WORDS};
pub use point::{
    AcceptError, Accepts, Backlog, Delays, Drop, Exit, PointCounters, Processes, STATES, Scheduling, Tally, Task,
};
pub use reason::{EARLY_NS, Reason};
pub use settings::{Amendment, Control, ControlBlock, Settings};

/// Marks shared types as plain old data, so that aya may copy them to and from kernel memory.
macro_rules! plain_old_data {
    ($($name:ident),*) => {
        $(
            const _: () = assert!(size_of::<$name>() % 4 == 0);
            #[cfg(feature = "user")]
            // SAFETY: repr(C), integers only, no implicit padding, every bit pattern is a value.
            unsafe impl aya::Pod for $name {}
        )*
    };
}

plain_old_data!(
    AgeKey,
    Backlog,
    CgroupEvent,
    ControlBlock,
    FailureEvent,
    Flow,
    FlowAges,
    FlowKey,
    ListenerSample,
    Offsets,
    PathCounts,
    PathKey,
    PointCounters,
    Settings,
    Tally,
    Task
);
