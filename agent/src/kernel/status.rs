//! The status of the kernel boundary.

use super::{FieldStatus, Kernel, OVERFLOW_LIMIT, ProgramCost, ProgramStatus};
use agent_common::Loss;

/// The status of each program, and what was lost.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The status of each kernel program.
    pub programs: Vec<ProgramStatus>,
    /// The cost of each program, while the kernel measures it.
    pub costs: Vec<ProgramCost>,
    /// The kernel fields that were looked up.
    pub fields: Vec<FieldStatus>,
    /// The loss counters, as last read.
    pub lost: Vec<(Loss, u64)>,
    /// Runs of kernel programs that the kernel skipped.
    pub skipped_runs: u64,
    /// State changes of sockets that no program has handled.
    pub missed_changes: u64,
    /// Connections counted as ended because only missed state changes explain that they were open.
    pub mended: u64,
    /// The limit of entries in the flow table.
    pub flows_limit: usize,
    /// The limit of entries in the overflow table.
    pub overflow_limit: usize,
}

impl Status {
    /// The status of a kernel; `lost` are the loss counters as last read.
    pub fn of(kernel: &Kernel, lost: &[(Loss, u64)], flows_limit: usize) -> Self {
        Self {
            programs: kernel.programs().to_vec(),
            costs: kernel.costs(),
            fields: kernel.fields().to_vec(),
            lost: lost.to_vec(),
            skipped_runs: kernel.skipped_runs(),
            missed_changes: kernel.missed_changes(),
            mended: kernel.mended(),
            flows_limit,
            overflow_limit: OVERFLOW_LIMIT as usize,
        }
    }
}
