//! What is to be measured, and how long.

use clap::ValueEnum;
use std::path::PathBuf;

/// Measure what the agent costs (as root).
///
/// Kernel time per short connection beside empty programs on the same hooks (and beside tcplife where libbpf-tools is
/// installed), connections per second and bulk throughput with and without the agent, the time of a walk per open
/// socket, the agent's processor time and memory, what it costs to keep 5,000 dependents of 200 points, and to know a cluster of
/// 100,000 pods. Prints a table and writes it as JSON under target/bench/.
///
/// With --against, only an earlier build and this one are compared, with nothing, an empty program and tcplife beside them: each by
/// itself, in turns. Kernel time is that of the kernel's statistics; connections per second are measured without them. Client and
/// server are on different processors. tcplife is installed (on Debian: libbpf-tools) when it is missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this; may be given several times
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Vec<Part>,
    /// Compare with an earlier release build of `narrows`, kept somewhere else than where this one is built; measure nothing else
    #[arg(long, value_name = "PATH", conflicts_with = "only")]
    pub(crate) against: Option<PathBuf>,
    /// Short connections in each round
    #[arg(long, default_value_t = 20_000)]
    pub(crate) connections: u32,
    /// Rounds of each comparison; the median counts
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: u32,
    /// Open connections for the large sampling (two sockets each)
    #[arg(long, default_value_t = 25_000)]
    pub(crate) open: u32,
    /// Only hold so many connections open, until the standard input ends
    #[arg(long, hide = true)]
    pub(crate) hold: Option<u32>,
    /// Which loopback network to hold them in
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) island: u8,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Kernel time per short connection
    KernelTime,
    /// Kernel time for what is only looked at in points: per connection, per read and write, per context switch
    Points,
    /// Short connections per second
    Connections,
    /// Bytes per second
    Bulk,
    /// The time of a walk over open files per open socket
    OpenSockets,
    /// Processor time and memory with many flows
    Flows,
    /// Series, tick and memory with 200 points and 5,000 dependents
    Dependents,
    /// Processor time and memory with a large cluster
    Identities,
}
