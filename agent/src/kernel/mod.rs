//! The kernel boundary: loads and attaches the programs, reads their counters, and reports what is missing.

mod ages;
mod bpf;
mod btf;
mod bytes;
mod capabilities;
mod cgroup;
mod control;
mod footprint;
mod handover;
mod layout;
mod mend;
mod object;
mod offsets;
mod open;
mod options;
mod paths;
mod pins;
mod points;
mod probes;
mod programs;
mod restrictions;
mod status;
mod tables;
mod takeover;
mod walk;

pub use btf::{Btf as KernelTypes, BtfError, VMLINUX};
pub use bytes::{bytes_of, split};
pub use capabilities::{missing_capabilities, sees_processes};
pub use cgroup::CgroupChange;
pub use footprint::Footprint;
pub use offsets::{FieldStatus, name as field_name};
pub use options::Options;
pub use pins::{PINS, Pins, Unusable};
pub use points::{PointMaps, PointProcess};
pub use programs::ProgramStatus;
pub use restrictions::{LOCKDOWN, Lockdown, is_real_time, lockdown};
pub use status::Status;
pub use tables::Reading;
pub use takeover::Start;
pub use walk::Listening;

use crate::{
    program::{AMEND, CGROUP_MKDIR, CGROUP_RMDIR, LIFE_CYCLE, Program, WALK},
    signals::{self, accepts},
};
use agent_common::{
    AgeKey, CgroupEvent, Control, FailureEvent, FlowAges, FlowKey, ListenerSample, Loss, PathCounts, PathKey,
};
use ages::AgeTable;
use anyhow::Context;
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use control::Controls;
use mend::Missing;
use paths::PathTable;
use pins::LayoutDir;
use probes::Probes;
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tables::FlowTables;
use walk::Walker;

/// Entries of the `OVERFLOW` map: one for each owner, place and role when the flow table is full.
pub const OVERFLOW_LIMIT: u32 = 4_096;

/// The system call numbers of `accept` and `accept4` on this architecture. (32-bit calls of other processes are not watched.)
pub const ACCEPT_CALLS: [u32; 2] = [libc::SYS_accept as u32, libc::SYS_accept4 as u32];

/// Upper bound for failure events read at once. In a storm the others wait for the next time, or are rejected and counted as such:
/// a failed connection must not cost more than that.
pub const EVENTS_AT_ONCE: usize = 2_000;

/// The loaded programs and their maps. Dropping it detaches all that is not pinned (see [`Options::pins`]).
pub struct Kernel {
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    tables: FlowTables,
    loss: PerCpuArray<MapData, u64>,
    failures: RingBuf<MapData>,
    cgroups: RingBuf<MapData>,
    points: PointMaps,
    ages: AgeTable,
    paths: PathTable,
    controls: Controls,
    probes: Probes,
    /// The program that modifies single flows.
    amend: Option<OwnedFd>,
    walker: Option<Walker>,
    /// Who listens, as the last walk found it.
    listening: HashSet<Listening>,
    /// The number of records of open sockets, as maintained by the programs.
    records: Array<MapData, u64>,
    /// State changes that the twin of the life-cycle program has handled.
    caught: PerCpuArray<MapData, u64>,
    /// The number of this tick's walk, if it has visited all open files and counted by flow.
    counted_walk: Option<u32>,
    /// Where connections wait to be accepted, by network namespace and port.
    queues: HashSet<(u32, u16)>,
    programs: Vec<ProgramStatus>,
    fields: Vec<FieldStatus>,
    /// The names of the values of enumerations that signals export.
    enumerations: Enumerations,
    start: Start,
    /// Where the state is stored.
    place: Option<(Pins, LayoutDir)>,
    /// Why the state is not stored, though it should be.
    refused: Option<String>,
    /// The state that the previous agent stored.
    state: Option<Vec<u8>>,
}

/// The names of values, by enumeration.
type Enumerations = HashMap<&'static str, HashMap<u32, String>>;

/// The cost of a kernel program so far.
#[derive(Clone, Debug, Default)]
pub struct ProgramCost {
    /// The name of the program.
    pub program: &'static str,
    /// Number of runs so far.
    pub runs: u64,
    /// Total run time in seconds.
    pub seconds: f64,
}

impl Kernel {
    /// Whether counting started from 0, or from what an earlier agent had left.
    pub const fn start(&self) -> &Start {
        &self.start
    }

    /// Whether the kernel continues to count when the agent ends.
    ///
    /// # Errors
    /// Why it does not; `None` when that is disabled.
    pub fn is_lasting(&self) -> Result<(), Option<&str>> {
        match &self.place {
            Some(_) => Ok(()),
            None => Err(self.refused.as_deref()),
        }
    }

    /// The state that the previous agent stored with [`Kernel::keep`].
    pub const fn take_state(&mut self) -> Option<Vec<u8>> {
        self.state.take()
    }

    /// Stores the agent's state for the next one, next to the counters that it belongs to. From now on, flows that it lists as
    /// leaving are taken out of the kernel's table.
    ///
    /// # Errors
    /// The system call's error.
    pub fn keep(&mut self, state: &[u8]) -> anyhow::Result<()> {
        let Some((_, directory)) = &self.place else {
            return Ok(());
        };
        let next = directory.next_state();
        self.tables.wait_for_state(false);
        let keep = || {
            let blob = bpf::Blob::new(state)?;
            // Left by an agent that ended at this point.
            match fs::remove_file(&next) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            bpf::pin(blob.as_fd(), &next)?;
            fs::rename(&next, directory.state())
        };
        keep().with_context(|| format!("{} cannot be written", directory.state().display()))?;
        self.tables.wait_for_state(true);
        self.tables.are_kept();
        self.paths.are_kept();
        Ok(())
    }

    /// Flows that are about to be taken out of the kernel's table.
    pub fn leaving(&self) -> impl Iterator<Item = &FlowKey> {
        self.tables.leaving()
    }

    /// Renews the heartbeat, by which the programs know that an agent is running.
    ///
    /// # Errors
    /// The system call's error, or that they have stopped counting.
    pub fn beat(&mut self) -> anyhow::Result<()> {
        self.controls.beat()
    }

    /// The status of each program.
    pub fn programs(&self) -> &[ProgramStatus] {
        &self.programs
    }

    /// The kernel fields that were looked up.
    pub fn fields(&self) -> &[FieldStatus] {
        &self.fields
    }

    /// This kernel's name for a value of one of [`signals::ENUMERATIONS`].
    pub fn enumerator(&self, enumeration: &str, value: u32) -> Option<&str> {
        Some(self.enumerations.get(enumeration)?.get(&value)?)
    }

    /// Whether a program is active.
    pub fn is_active(&self, program: &Program) -> bool {
        programs::is_active(&self.programs, program)
    }

    /// The counters of points.
    pub fn points(&mut self) -> &mut PointMaps {
        &mut self.points
    }

    /// Sets the cgroups of points, before a walk of the sampler; returns the new ones. The counters of cgroups that are no longer
    /// listed are deleted, so they must be read before. The programs that concern only points are attached while there are any.
    ///
    /// # Errors
    /// The system call's error.
    pub fn set_points(&mut self, cgroups: &HashSet<u64>) -> anyhow::Result<Vec<u64>> {
        let new = self.points.set(cgroups, &mut self.controls)?;
        for program in signals::programs().filter(|program| program.concerns_points()) {
            if cgroups.is_empty() {
                self.probes.detach(program.name)?;
            } else if let Some(status) = programs::active_mut(&mut self.programs, program)
                && let Err(error) = self.probes.attach(program.name)
            {
                status.switch_off(format!("{error:#}"));
            }
        }
        Ok(new)
    }

    /// Registers a process of a point's cgroup whose start the programs have not seen. One that does not fit is counted as lost.
    /// Returns whether it has become a main process: not when a program has registered it meanwhile, which has counted its start.
    ///
    /// # Errors
    /// The system call's error.
    pub fn enlist(&mut self, cgroup: u64, process: &PointProcess) -> anyhow::Result<bool> {
        // Before they are known, as unmarked threads are not looked up.
        self.mark(process.threads.iter().copied())?;
        self.points.enlist(cgroup, process)
    }

    /// Marks threads of points, if the programs use marks.
    fn mark(&self, threads: impl Iterator<Item = u32>) -> anyhow::Result<()> {
        let Some(amend) = &self.amend else { return Ok(()) };
        for thread in threads {
            tables::mark(amend.as_fd(), thread)?;
        }
        Ok(())
    }

    /// Starts or stops counting failed `accept` calls of points. While it is on, every system call of the node takes slightly
    /// longer.
    ///
    /// # Errors
    /// The system call's error.
    pub fn watch_accept(&mut self, on: bool) -> anyhow::Result<()> {
        match self.is_active(&accepts::ERROR) {
            true if on => self.probes.attach(accepts::ERROR.name),
            true => self.probes.detach(accepts::ERROR.name),
            false => Ok(()),
        }
    }

    /// Whether the life cycle of connections is seen: without it nothing can be counted.
    pub fn sees_life_cycle(&self) -> bool {
        LIFE_CYCLE.iter().any(|program| self.is_active(program))
    }

    /// Updates the flows of open connections, and returns the listeners: those of all processes, or, where a walk over all open
    /// files takes long, in most ticks those of `processes` alone.
    /// # Errors
    /// The walk over open files failed.
    pub fn sample(&mut self, processes: impl Iterator<Item = u32>) -> anyhow::Result<Vec<ListenerSample>> {
        let Some(walker) = &mut self.walker else {
            return Ok(Vec::new());
        };
        let mut walked = walker.walk(processes)?;
        self.listening = std::mem::take(&mut walked.listening);
        let is_counted = self.controls.has(Control::OpenSocketsAreCounted);
        self.counted_walk = walked.whole.filter(|_| is_counted);
        if walked.whole.is_some() {
            self.records
                .set(0, walked.sockets, 0)
                .context("the number of records cannot be put right")?;
            let queues = walked.listeners.iter().filter(|listener| listener.queued > 0);
            self.queues = queues.map(|listener| (listener.netns, listener.port)).collect();
        }
        Ok(walked.listeners)
    }

    /// The ages of the open connections of points, by flow and process, as the last walk found them.
    ///
    /// # Errors
    /// The system call's error.
    pub fn ages(&mut self) -> anyhow::Result<Vec<(AgeKey, FlowAges)>> {
        match &self.walker {
            Some(walker) => self.ages.read(walker.number(), self.points.are_there()),
            None => Ok(Vec::new()),
        }
    }

    /// What was counted for paths through points until the last call, at which new counts began.
    ///
    /// # Errors
    /// The system call's error.
    pub fn paths(&mut self) -> anyhow::Result<Vec<(PathKey, PathCounts)>> {
        if self.place.is_none() {
            // Nothing is left to a next agent.
            self.paths.are_kept();
        }
        self.paths.read(self.points.are_there())
    }

    /// The last generation of paths that was read, for the next agent.
    pub const fn counted_paths(&self) -> u32 {
        self.paths.counted()
    }

    /// Continues after the generation of paths that the previous agent has read last.
    pub const fn recall_paths(&mut self, counted: u32) {
        self.paths.recall(counted);
    }

    /// The number of the last walk over open files; `None` where there is none.
    pub fn walk_number(&self) -> Option<u32> {
        self.walker.as_ref().map(Walker::number)
    }

    /// The processes that listen, as the last walk found them.
    pub const fn listening(&self) -> &HashSet<Listening> {
        &self.listening
    }

    /// Passes every flow to `each`, which returns whether it has changed since the last time, and takes out flows that have been
    /// idle for long.
    ///
    /// # Errors
    /// The tables cannot be read. What was read before the error has been passed on.
    pub fn collect(&mut self, each: impl FnMut(&FlowKey, Reading<'_>) -> bool) -> anyhow::Result<()> {
        let runs = self.skipped_changes();
        let missing = Missing {
            runs,
            walk: self.counted_walk.take(),
            waiting: &self.queues,
        };
        self.tables
            .collect(self.amend.as_ref().map(AsFd::as_fd), &missing, each)?;
        let is_short = runs > self.tables.explained() && self.walker.is_some();
        self.controls.set(Control::OpenSocketsAreCounted, is_short)
    }

    /// Sets the number of connections that previous agents have counted as ended because of the same missing runs.
    pub fn recall_mended(&mut self, mended: u64) {
        self.tables.recall_mended(mended);
    }

    /// The number of connections counted as ended because of these missing runs, in total.
    pub fn explained(&self) -> u64 {
        self.tables.explained()
    }

    /// Connections that were counted as ended because only runs that the kernel skipped explain that they were open.
    pub fn mended(&self) -> u64 {
        self.tables.mended()
    }

    /// The loss counters of the kernel programs.
    ///
    /// # Errors
    /// The system call's error.
    pub fn loss(&self) -> anyhow::Result<Vec<(Loss, u64)>> {
        Loss::ALL
            .into_iter()
            .map(|what| {
                let (cgroups, processes) = self.points.rejected();
                let here = match what {
                    Loss::PointCgroups => cgroups,
                    Loss::Threads => processes,
                    _ => 0,
                };
                Ok((what, here + self.loss.get(&(what as u32), 0)?.iter().sum::<u64>()))
            })
            .collect::<anyhow::Result<_>>()
            .context("the loss counters cannot be read")
    }

    /// Runs of programs that the kernel skipped, as it does not run a program that it has just interrupted on the same CPU: what
    /// they would have counted is missing. Those of the life-cycle program are [`Kernel::missed_changes`].
    pub fn skipped_runs(&self) -> u64 {
        let others = signals::programs().filter(|program| !program.is_life_cycle() && self.is_active(program));
        others.map(|program| self.recursion_misses(program)).sum()
    }

    /// State changes that neither the life-cycle program nor its twin has handled.
    pub fn missed_changes(&self) -> u64 {
        let missed = self.skipped_changes();
        let handled: u64 = match LIFE_CYCLE.iter().all(|program| self.is_active(program)) {
            // Read after the other counter: what is handled between the two reads is not a loss.
            true => self.caught.get(&0, 0).map_or(0, |each| each.iter().sum()),
            false => 0,
        };
        missed.saturating_sub(handled)
    }

    /// Runs of the life-cycle program that the kernel skipped, whether or not its twin made up for them.
    fn skipped_changes(&self) -> u64 {
        let active = LIFE_CYCLE.iter().find(|program| self.is_active(program));
        active.map_or(0, |program| self.recursion_misses(program))
    }

    fn recursion_misses(&self, program: &Program) -> u64 {
        let program = self.probes.program(program.name);
        program.map_or(0, |program| bpf::runs(program).map_or(0, |runs| runs.recursion_misses))
    }

    /// Number of runs and run time of each active tracepoint program; empty when the kernel does not measure them (sysctl
    /// `kernel.bpf_stats_enabled`).
    pub fn costs(&self) -> Vec<ProgramCost> {
        if fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() == "0") {
            return Vec::new();
        }
        let walker = self.walker.iter().map(|walker| (WALK.name, walker.program()));
        let amend = self.amend.iter().map(|program| (AMEND.name, program.as_fd()));
        let probes = self
            .probes
            .names()
            .filter_map(|name| Some((name, self.probes.program(name)?)));
        let programs = probes.chain(walker).chain(amend);
        programs
            .filter_map(|(program, fd)| {
                let runs = bpf::runs(fd).ok()?;
                Some(ProgramCost {
                    program,
                    runs: runs.count,
                    seconds: runs.nanoseconds as f64 / 1e9,
                })
            })
            .collect()
    }

    /// Passes the events about cgroups to `each`, in order.
    pub fn cgroups(&mut self, mut each: impl FnMut(CgroupChange<'_>)) {
        while let Some(bytes) = self.cgroups.next() {
            if let Some((event, _)) = split::<CgroupEvent>(&bytes) {
                each(CgroupChange::of(&event));
            }
        }
    }

    /// Whether [`Kernel::cgroups`] reports all cgroups.
    pub fn tells_cgroups(&self) -> bool {
        self.is_active(&CGROUP_MKDIR) && self.is_active(&CGROUP_RMDIR)
    }

    /// Readable (poll) while there are failure events.
    pub fn failures_ready(&self) -> BorrowedFd<'_> {
        self.failures.as_fd()
    }

    /// Passes the pending failure events to `each`, at most [`EVENTS_AT_ONCE`], and forwards the programs' log messages. Returns
    /// whether there may be more events.
    pub fn drain(&mut self, mut each: impl FnMut(FailureEvent)) -> bool {
        let mut taken = 0;
        while taken < EVENTS_AT_ONCE
            && let Some(bytes) = self.failures.next()
        {
            if let Some((event, _)) = split(&bytes) {
                each(event);
            }
            taken += 1;
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        taken == EVENTS_AT_ONCE
    }
}

#[cfg(test)]
mod tests;
