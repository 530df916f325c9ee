//! Run-time control of the programs: which of them count, until when, and what they may rely on.

use super::object::take;
use agent_common::{Control, ControlBlock};
use anyhow::{Context, bail};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use nix::time::{ClockId, clock_gettime};
use std::{thread, time::Duration};

/// How long programs that outlive the agent continue to count without one.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// `MEMBARRIER_CMD_GLOBAL` (`include/uapi/linux/membarrier.h`): waits for an RCU grace period, and with it for the end of all
/// program runs that have begun, as they run with preemption disabled.
const MEMBARRIER_GLOBAL: libc::c_int = 1;

/// Far longer than any run takes.
const LONG: Duration = Duration::from_millis(100);

/// The only element of the map `CONTROL`, as last written by the agent.
pub struct Controls {
    map: Array<MapData, ControlBlock>,
    block: ControlBlock,
    /// Whether the programs may outlive the agent.
    lasting: bool,
}

impl Controls {
    /// Takes the map out of the object, with the values that an earlier agent has left in it.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn take(ebpf: &mut Ebpf, lasting: bool) -> anyhow::Result<Self> {
        let map = Array::try_from(take(ebpf, "CONTROL")?)?;
        let block = map.get(&0, 0).context("cannot read what the programs were told")?;
        Ok(Self { map, block, lasting })
    }

    /// Sets or clears a control bit that the programs read.
    ///
    /// # Errors
    /// The system call's error.
    pub fn set(&mut self, bit: Control, on: bool) -> anyhow::Result<()> {
        let bits = match on {
            true => self.block.bits | bit as u32,
            false => self.block.bits & !(bit as u32),
        };
        if bits == self.block.bits {
            return Ok(());
        }
        self.block.bits = bits;
        self.write()
    }

    /// Whether a bit is set.
    pub const fn has(&self, bit: Control) -> bool {
        self.block.bits & bit as u32 != 0
    }

    /// The epoch of the programs that count; 0 when none does.
    pub const fn epoch(&self) -> u32 {
        self.block.epoch
    }

    /// Lets the programs of this epoch count from now on.
    ///
    /// # Errors
    /// The system call's error.
    pub fn begin(&mut self, epoch: u32) -> anyhow::Result<()> {
        self.block.epoch = epoch;
        self.write()
    }

    /// Renews the heartbeat, by which the programs know that an agent is running.
    ///
    /// # Errors
    /// The system call's error, or that the last heartbeat is older than [`PATIENCE`], so that the programs have stopped.
    pub fn beat(&mut self) -> anyhow::Result<()> {
        let now = self.map.get(&0, 0).context("cannot read what the programs were told")?;
        if now.epoch != self.block.epoch {
            bail!(
                "the kernel programs have stopped counting, as this agent did nothing for {} minutes (was it suspended?): restart it",
                PATIENCE.as_secs() / 60
            );
        }
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.block.until_ns = match self.lasting {
            true => now_ns()?.saturating_add(u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX)),
            false => u64::MAX,
        };
        self.map
            .set(0, self.block, 0)
            .context("cannot tell the programs what they may rely on")
    }
}

/// The clock that the programs compare with (`CLOCK_MONOTONIC`), in nanoseconds.
fn now_ns() -> anyhow::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the clock")?;
    Ok(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Waits until all program runs that had begun are over.
pub fn settle() {
    // SAFETY: a system call without pointers.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
    if waited != 0 {
        // Not available on CPUs without timer ticks (nohz_full).
        thread::sleep(LONG);
    }
}
