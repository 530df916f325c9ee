//! What the kernel boundary says of itself.

use super::{FieldStatus, Kernel, OVERFLOW_LIMIT, ProgramCost, ProgramStatus};
use agent_common::Loss;

/// How each program fared, and what was lost.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The kernel programs.
    pub programs: Vec<ProgramStatus>,
    /// Their cost, while the kernel measures it.
    pub costs: Vec<ProgramCost>,
    /// Kernel fields.
    pub fields: Vec<FieldStatus>,
    /// What was lost in the kernel, as it was last read.
    pub lost: Vec<(Loss, u64)>,
    /// Runs of kernel programs that the kernel left out.
    pub skipped_runs: u64,
    /// Changes of state of sockets that no program has handled.
    pub missed_changes: u64,
    /// Connections that were ended because only changes of state that were missed explain that they were open.
    pub mended: u64,
    /// Entries that the flow table may have.
    pub flows_limit: usize,
    /// Entries that the overflow table may have.
    pub overflow_limit: usize,
}

impl Status {
    /// That of a kernel; `lost` is what was last read of its losses.
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
