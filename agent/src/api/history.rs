//! The time lines of a point.

use super::answer::AsOf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last hour of a point (`/api/v1/history?point={id}`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct History {
    /// The moment that it describes.
    pub as_of: AsOf,
    /// The identifier of the point.
    pub point: String,
    /// The time between two samples: 5, or the interval of ticks when that is longer; 60 for a point beyond the first 200 of the node,
    /// whose samples are the greatest values of each minute.
    pub resolution_seconds: f64,
    /// When each sample was taken, in seconds since 1970, ascending.
    pub time_seconds: Vec<f64>,
    /// The samples: each line has as many as there are times, `null` where a value was not known.
    pub lines: Lines,
}

/// Declares the columns once: as lines of an answer, and as one sample.
macro_rules! lines {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The lines of a point.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
        pub struct Lines {
            $($(#[$doc])* pub $name: Vec<Option<f32>>,)*
        }

        /// One value of each line; not a number where it is not known.
        #[derive(Clone, Copy, Debug)]
        pub struct Sample {
            $($(#[$doc])* pub $name: f32,)*
        }

        impl Sample {
            /// Nothing is known.
            pub const UNKNOWN: Self = Self { $($name: f32::NAN,)* };

            /// The greater of two values of each line; what is known of what is not.
            pub const fn greatest(self, other: Self) -> Self {
                Self { $($name: self.$name.max(other.$name),)* }
            }
        }

        impl Lines {
            /// Adds a sample at the end.
            pub fn push(&mut self, sample: &Sample) {
                let known = |value: f32| value.is_finite().then_some(value);
                $(self.$name.push(known(sample.$name));)*
            }
        }
    };
}

lines! {
    /// Open connections that the point accepted.
    downstream_open_connections,
    /// Open connections that the point opened.
    upstream_open_connections,
    /// Connections that it accepted, per second since the sample before.
    downstream_opened_per_second,
    /// Connections that it opened, per second since the sample before.
    upstream_opened_per_second,
    /// Failed connections by the point's own sockets, per second since the sample before.
    point_failures_per_second,
    /// Failed connections by the sockets of its callers on this node, all instances of the point together, per second since the sample
    /// before. Not known where nobody on this node has called it at an address of its own.
    caller_failures_per_second,
    /// The 99th percentile of the time until arrived data is read, of the worse side, since the sample before. Approximate.
    read_delay_p99_seconds,
    /// The 99th percentile of the time from a read to the next write, of the worse side, since the sample before. Approximate.
    forward_delay_p99_seconds,
    /// The saturation of the fullest resource.
    worst_saturation_ratio,
    /// The saturation of the CPU.
    cpu_saturation_ratio,
    /// The saturation of the memory.
    memory_saturation_ratio,
    /// The saturation of the fullest accept queue.
    accept_queue_saturation_ratio,
    /// The saturation of open files.
    open_files_saturation_ratio,
    /// The share of connections with unread bytes that do not move.
    backlog_saturation_ratio,
    /// The saturation of local ports.
    ephemeral_ports_saturation_ratio,
    /// Connections that wait in accept queues.
    accept_queue_connections,
}
