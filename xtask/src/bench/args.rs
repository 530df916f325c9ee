//! The arguments of `cargo xtask bench`.

use clap::ValueEnum;
use std::path::PathBuf;

/// Measure the cost of the agent (as root).
///
/// Measures kernel time per short connection, relative to empty programs on the same hooks (and to tcplife if libbpf-tools is
/// installed), connections per second and bulk throughput with and without the agent, the time of a walk per open
/// socket, the agent's CPU time and memory, its cost with 5,000 dependents of 200 points and with a cluster of
/// 100,000 pods, and the cost of rules and alerts in a Prometheus that scrapes 500 agents. Prints a table and writes it as JSON under target/bench/.
///
/// With --against, only compares an earlier build, this one, no program, an empty program and tcplife: each alone, in turns. Kernel
/// time is that of the kernel's statistics; connections per second are measured without them. Client and server are on different
/// CPUs. tcplife is installed (on Debian: libbpf-tools) when it is missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this; may be given several times
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Vec<Part>,
    /// Compare with an earlier release build of `narrows`, which must be outside of the target directory; measure nothing else
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
    /// Only keep this number of connections open, until the end of stdin
    #[arg(long, hide = true)]
    pub(crate) hold: Option<u32>,
    /// The loopback network of these connections
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) island: u8,
}

/// The measurements that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Kernel time per short connection
    KernelTime,
    /// Kernel time of programs that only concern points: per connection, per read and write, per context switch
    Points,
    /// Short connections per second
    Connections,
    /// Bytes per second through one connection
    Bulk,
    /// The time of a walk over open files per open socket
    OpenSockets,
    /// CPU time and memory with many flows
    Flows,
    /// Series, tick and memory with 200 points and 5,000 dependents
    Dependents,
    /// CPU time and memory with a large cluster
    Identities,
    /// Series, memory and time of the recording rules and alerts in the Prometheus of a large cluster
    Rules,
}
