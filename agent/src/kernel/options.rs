//! Settings of the kernel programs that the agent decides before loading them.

use agent_common::Settings;
use std::path::PathBuf;

/// How the programs are to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of the flow table.
    pub flows: u32,
    /// The settings that are passed to the programs.
    pub settings: Settings,
    /// Optional programs, and optional kernel fields (`structure.path`), that are disabled.
    pub off: Vec<String>,
    /// After so many readings without an update, a flow without open connections is taken out of the table.
    pub idle_readings: u32,
    /// Whether process ids here are those of the initial pid namespace: then all processes are seen, too.
    pub numbers: bool,
    /// Where the cgroup2 tree is mounted: programs of cgroups are attached to its root.
    pub cgroups: PathBuf,
    /// Where maps and programs are pinned, so that the kernel continues to count while no agent runs; `None` when they end with the
    /// agent.
    pub pins: Option<PathBuf>,
}
