//! The flow tables: reads them, removes idle flows, and corrects what the kernel missed.

use super::{
    bpf::{self, BatchReader},
    mend::{Mend, Missing},
    object::{descriptor, take},
};
use agent_common::{Amendment, Flow, FlowKey, Role};
use anyhow::Context;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use std::{
    collections::{HashMap as Table, HashSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// How long a retired flow stays before it is removed: far longer than a program that had found it unmarked may run.
pub(super) const QUARANTINE: Duration = Duration::from_secs(1);

/// A flow, as one reading of the flow tables found it.
pub enum Reading<'a> {
    /// A flow in the table, with its current counters.
    Now(&'a Flow),
    /// A flow that has been removed, with its final counters.
    Gone(&'a Flow),
}

/// The maps with the flow counters.
pub struct FlowTables {
    pub(super) flows: HashMap<MapData, FlowKey, Flow>,
    flows_fd: OwnedFd,
    pub(super) overflow_fd: OwnedFd,
    totals: Array<MapData, Flow>,
    pub(super) owners: HashMap<MapData, u64, u64>,
    reader: BatchReader<FlowKey, Flow>,
    /// Number of consecutive readings without a change, by flow.
    idle: Table<FlowKey, u32>,
    /// After so many of these, a flow without open connections is retired.
    idle_readings: u32,
    /// Marked flows, and since when.
    pub(super) retired: Vec<Retired>,
    /// Whether they stay until the agent has stored its state, which lists them.
    waits_for_state: bool,
    /// Owners that have lost flows, until the kernel's count of their flows is corrected.
    bereft: HashSet<u64>,
    mend: Mend,
}

/// A flow that is about to be removed.
pub struct Retired {
    pub(super) key: FlowKey,
    pub(super) since: Instant,
    /// The last stored state lists it as leaving: an unmarked entry with this key is a new flow.
    is_kept: bool,
}

/// The `amend` program; `None` where the kernel does not allow it.
pub type Amend<'a> = Option<BorrowedFd<'a>>;

/// Runs the `amend` program on a flow; returns whether it did something.
pub fn amend(program: BorrowedFd<'_>, what: Amendment, key: &FlowKey, number: u64) -> anyhow::Result<bool> {
    let mut args = [0; 12];
    args[0] = what as u64;
    args[1..5].copy_from_slice(&words(key));
    args[5] = number;
    let result = bpf::run(program, &args).context("the program that changes a flow cannot be run")?;
    Ok(result == 1)
}

/// Marks a thread of a point by its id.
pub fn mark(program: BorrowedFd<'_>, thread: u32) -> anyhow::Result<()> {
    amend(program, Amendment::Mark, &FlowKey::default(), u64::from(thread)).map(|_| ())
}

/// Encodes a key as arguments of the program.
fn words(key: &FlowKey) -> [u64; 4] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let last = u32::from(key.port) | u32::from(key.role) << 16 | u32::from(key.generation) << 24;
    [
        key.cgroup,
        pair(key.peer[0], key.peer[1]),
        pair(key.peer[2], key.peer[3]),
        pair(key.netns, last),
    ]
}

impl FlowTables {
    /// Takes the maps out of the object.
    ///
    /// # Errors
    /// When one is missing.
    pub fn take(ebpf: &mut Ebpf, idle_readings: u32) -> anyhow::Result<Self> {
        let flows = take(ebpf, "FLOWS")?;
        Ok(Self {
            flows_fd: descriptor(&flows)?,
            flows: HashMap::try_from(flows)?,
            overflow_fd: descriptor(&take(ebpf, "OVERFLOW")?)?,
            totals: Array::try_from(take(ebpf, "TOTALS")?)?,
            owners: HashMap::try_from(take(ebpf, "OWNERS")?)?,
            reader: BatchReader::new(Flow::ZERO),
            idle: Table::new(),
            idle_readings,
            retired: Vec::new(),
            waits_for_state: false,
            bereft: HashSet::new(),
            mend: Mend::new(idle_readings),
        })
    }

    /// Connections that this agent has counted as ended because nothing else explains that they are open.
    pub const fn mended(&self) -> u64 {
        self.mend.mended()
    }

    /// [`FlowTables::mended`], including what previous agents have counted.
    pub const fn explained(&self) -> u64 {
        self.mend.explained()
    }

    /// Sets what previous agents have counted as ended.
    pub const fn recall_mended(&mut self, mended: u64) {
        self.mend.recall(mended);
    }

    /// Flows that are marked, and about to be removed.
    pub fn leaving(&self) -> impl Iterator<Item = &FlowKey> {
        self.retired.iter().map(|retired| &retired.key)
    }

    /// Sets whether flows stay until the agent has stored its state.
    pub const fn wait_for_state(&mut self, waits: bool) {
        self.waits_for_state = waits;
    }

    /// The agent has stored its state, which lists all leaving flows.
    pub fn are_kept(&mut self) {
        for retired in &mut self.retired {
            retired.is_kept = true;
        }
    }

    /// Passes every flow to `each`, which returns whether it has changed, and removes flows that have been idle for long. `missing`
    /// is what is known of state changes that no program has seen.
    ///
    /// # Errors
    /// The system call's error. What was read before it has been passed on, and nothing is lost: the next reading continues from
    /// there.
    pub fn collect(
        &mut self,
        program: Amend<'_>,
        missing: &Missing<'_>,
        mut each: impl FnMut(&FlowKey, Reading<'_>) -> bool,
    ) -> anyhow::Result<()> {
        self.take_retired(&mut each)?;
        let mut owned: Table<u64, u64> = Table::new();
        let mut leaving = Vec::new();
        let Self { reader, idle, mend, .. } = self;
        let retired: HashSet<FlowKey> = self.retired.iter().map(|retired| retired.key).collect();
        reader
            .read(self.flows_fd.as_fd(), |key, flow| {
                *owned.entry(key.cgroup).or_default() += 1;
                let changed = each(key, Reading::Now(flow));
                mend.look(key, flow, missing);
                if flow.retired != 0 {
                    // The previous agent has marked it.
                    if !retired.contains(key) {
                        leaving.push((*key, true));
                    }
                    return;
                }
                let idle = idle.entry(*key).or_default();
                *idle = if changed { 0 } else { idle.saturating_add(1) };
                if *idle > self.idle_readings && flow.open() == 0 {
                    leaving.push((*key, false));
                }
            })
            .context("reading the flow table failed")?;
        self.reader
            .read(self.overflow_fd.as_fd(), |key, flow| {
                each(key, Reading::Now(flow));
            })
            .context("reading the table of owners without room failed")?;
        for role in [Role::Client, Role::Server, Role::Listener] {
            let flow = self
                .totals
                .get(&(role as u32), 0)
                .context("reading the table of totals failed")?;
            if flow != Flow::ZERO {
                let key = FlowKey {
                    role: role as u8,
                    ..FlowKey::default()
                };
                each(&key, Reading::Now(&flow));
            }
        }
        self.recount(&owned)?;
        self.retire(program, leaving)?;
        if let Some(program) = program {
            self.mend
                .end(missing, |key, number| amend(program, Amendment::End, key, number))?;
        }
        Ok(())
    }

    /// Marks flows that leave.
    fn retire(&mut self, program: Amend<'_>, leaving: Vec<(FlowKey, bool)>) -> anyhow::Result<()> {
        for (key, marked) in leaving {
            // One generation at a time: the other one takes over.
            let mut other = key;
            other.generation ^= 1;
            if !marked && self.retired.iter().any(|retired| retired.key == other) {
                continue;
            }
            let is_retired = match program {
                _ if marked => true,
                Some(program) => amend(program, Amendment::Retire, &key, 0)?,
                None => false,
            };
            if is_retired {
                self.idle.remove(&key);
                self.retired.push(Retired {
                    key,
                    since: Instant::now(),
                    is_kept: false,
                });
            }
        }
        Ok(())
    }

    /// Removes flows that were marked long enough ago.
    fn take_retired(&mut self, each: &mut impl FnMut(&FlowKey, Reading<'_>) -> bool) -> anyhow::Result<()> {
        // One at a time, so that an error leaves the others in place.
        while let Some(Retired { key, since, is_kept }) = self.retired.first()
            && since.elapsed() >= QUARANTINE
            && (*is_kept || !self.waits_for_state)
        {
            let flow = self.flows.get(key, 0).context("a retired flow cannot be read")?;
            self.flows.remove(key).context("a retired flow cannot be taken out")?;
            each(key, Reading::Gone(&flow));
            self.bereft.insert(key.cgroup);
            self.retired.remove(0);
        }
        Ok(())
    }

    /// Corrects the kernel's count of flows for owners that lost some.
    fn recount(&mut self, owned: &Table<u64, u64>) -> anyhow::Result<()> {
        for owner in &self.bereft {
            match owned.get(owner) {
                Some(number) => self.owners.insert(owner, number, 0),
                None => self.owners.remove(owner),
            }
            .or_else(|error| match error {
                aya::maps::MapError::KeyNotFound => Ok(()),
                error => Err(error),
            })
            .context("the number of an owner's flows cannot be put right")?;
        }
        self.bereft.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_words_are_the_same_bytes() {
        let key = FlowKey {
            cgroup: 0x0102_0304_0506_0708,
            peer: [1, 2, 3, 4],
            netns: 5,
            port: 6,
            role: 2,
            generation: 1,
        };
        // SAFETY: both are 32 bytes of integers without padding.
        let expected: [u64; 4] = unsafe { std::mem::transmute(key) };
        assert_eq!(words(&key), expected);
    }
}
