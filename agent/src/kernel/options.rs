//! What the agent decides about the kernel programs, before they are loaded.

use agent_common::Settings;
use std::path::PathBuf;

/// How the programs are to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of the flow table.
    pub flows: u32,
    /// What the programs are told.
    pub settings: Settings,
    /// Optional programs, and optional kernel fields (`structure.path`), that are not to be used.
    pub off: Vec<String>,
    /// After so many readings without an update a flow without open connections is taken out of its table.
    pub idle_readings: u32,
    /// Whether processes have the numbers here that the kernel itself uses: then all of them are seen, too.
    pub numbers: bool,
    /// Where maps and programs have names, so that the kernel goes on counting while no agent runs; `None` when they end with it.
    pub pins: Option<PathBuf>,
}
