//! How much memory the kernel tables may take: it is charged to the agent's own cgroup.

use super::options::Options;
use crate::signals;
use agent_common::{
    AgeKey, Backlog, CgroupEvent, Flow, FlowAges, FlowKey, PathCounts, PathKey, PointCounters, THREADS, Tally, Task,
};
use std::fmt;

/// Overhead of an entry in bytes: the header before its key (`struct htab_elem`), and that of the allocator.
const ENTRY: u64 = 48 + 8;

/// A socket's record consists of two allocations of the kernel's 192-byte class.
const RECORD: u64 = 2 * 192;

/// For a socket of a point, one more is made, of the 256-byte class.
const EXCHANGE: u64 = 256;

/// Bytes that the tables take when all of them are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The tables of flows.
    pub flows: u64,
    /// The records of open sockets.
    pub sockets: u64,
    /// Counters of points, and their threads.
    pub points: u64,
    /// Ring buffers and everything else.
    pub rest: u64,
}

impl Footprint {
    /// For these options, on a node with so many CPUs.
    pub fn of(options: &Options, processors: u64) -> Self {
        let size = |bytes: usize| bytes as u64;
        let flow = (ENTRY + size(size_of::<FlowKey>()) + size(size_of::<Flow>())).next_power_of_two();
        let owner = (ENTRY + 16).next_power_of_two();
        let counters = size(size_of::<PointCounters>()) * processors;
        let point = counters + 3 * ENTRY + size(size_of::<Backlog>()) + 32;
        let task = (ENTRY + 8 + size(size_of::<Task>())).next_power_of_two();
        let ages = (ENTRY + size(size_of::<AgeKey>()) + size(size_of::<FlowAges>())).next_power_of_two();
        let path = (ENTRY + size(size_of::<PathKey>()) + size(size_of::<PathCounts>())).next_power_of_two();
        let tallies = size(signals::TALLIES.len());
        let leg = ENTRY + 32 + size(size_of::<FlowKey>());
        Self {
            flows: (u64::from(options.flows) + 4_096) * flow + 16_384 * owner,
            sockets: u64::from(options.settings.sockets) * (RECORD + EXCHANGE),
            points: 4_096 * (point + tallies * (ENTRY + 8 + size(size_of::<Tally>())))
                + 32_768 * task
                + 16_384 * path
                + 8_192 * ages
                + u64::from(THREADS / u8::BITS),
            rest: (1 << 20) + (1 << 18) + 8_192 * leg + size(size_of::<CgroupEvent>()),
        }
    }

    /// The sum over all tables.
    pub const fn total(&self) -> u64 {
        self.flows + self.sockets + self.points + self.rest
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "{} MiB: {} for flows (limits.flows), {} for open sockets (limits.sockets), {} for points, {} for the rest",
            mib(self.total()),
            mib(self.flows),
            mib(self.sockets),
            mib(self.points),
            mib(self.rest)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::Settings;
    use std::path::PathBuf;

    #[test]
    fn the_documentation_has_what_a_point_takes() {
        let page = include_str!("../../../docs/sizing.md");
        let point = size_of::<Backlog>() as u64 + 3 * ENTRY + 32;
        let entry = |bytes: usize| (ENTRY + bytes as u64).next_power_of_two();
        for figure in [
            format!(
                "takes {} bytes for each CPU and {point} more",
                size_of::<PointCounters>()
            ),
            format!("threads {};", entry(8 + size_of::<Task>())),
            format!("connections {},", RECORD + EXCHANGE),
            format!(
                "which is {} KiB for a thousand",
                (1_000 * (RECORD + EXCHANGE)).div_ceil(1_024)
            ),
            format!(
                "and {} for each peer",
                entry(size_of::<AgeKey>() + size_of::<FlowAges>())
            ),
            format!(
                "caller and destination {}",
                entry(size_of::<PathKey>() + size_of::<PathCounts>())
            ),
        ] {
            assert!(page.contains(&figure), "{figure}");
        }
    }

    #[test]
    fn the_limits_decide() {
        let options = |flows, sockets| Options {
            flows,
            settings: Settings {
                sockets,
                ..Settings::DEFAULT
            },
            off: Vec::new(),
            idle_readings: 1,
            numbers: true,
            cgroups: PathBuf::new(),
            pins: None,
        };
        let small = Footprint::of(&options(64, 1_000), 2);
        let large = Footprint::of(&options(65_536, 200_000), 2);
        assert_eq!(
            large.flows - small.flows,
            (65_536 - 64) * 512,
            "an entry is a block of 512 bytes"
        );
        assert_eq!(large.sockets, 200_000 * 640);
        assert_eq!((small.points, small.rest), (large.points, large.rest));
        let text = large.to_string();
        assert!(text.contains("123 for open sockets"), "{text}");
    }
}
