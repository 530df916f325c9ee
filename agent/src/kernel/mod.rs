//! The kernel boundary: loads and attaches the programs, reads what they counted, and says what is missing.

mod bpf;
mod btf;
mod capabilities;
mod cgroup;
mod footprint;
mod mend;
mod offsets;
mod points;
mod programs;
mod restrictions;
mod tables;
mod walk;

pub use btf::{Btf as KernelTypes, BtfError, VMLINUX};
pub use capabilities::{missing_capabilities, sees_processes};
pub use cgroup::CgroupChange;
pub use footprint::Footprint;
pub use offsets::Field;
pub use points::{PointMaps, PointProcess};
pub use programs::{Hook, LIFE_CYCLE, PROGRAMS, ProgramStatus};
pub use restrictions::{LOCKDOWN, Lockdown, is_real_time, lockdown};
pub use tables::Reading;
pub(crate) use walk::next_walk;

use crate::memory::give_back_memory;
use agent_common::{CgroupEvent, Control, FailureEvent, ListenerSample, Loss, Offsets, Settings};
use anyhow::{Context, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, RawTracePoint, tp_btf::BtfTracePointLinkId},
};
use mend::Missing;
use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    thread,
    time::Duration,
};
use tables::FlowTables;
use walk::{Walker, split};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NARROWS_EBPF_OBJECT"));

/// Entries of the `OVERFLOW` map: one for each owner, place and role when the flow table is full.
pub const OVERFLOW_LIMIT: u32 = 4_096;

/// Longer than a run of the life-cycle program takes: then all that began before its twin was known of are over.
const RUN: Duration = Duration::from_millis(10);

/// The numbers of the system calls `accept` and `accept4` here. (The 32-bit calls of other processes are not watched.)
pub const ACCEPT_CALLS: [u32; 2] = [libc::SYS_accept as u32, libc::SYS_accept4 as u32];

/// Failure events that are taken in at once. In a storm the others wait for the next time, or find no room and are counted
/// as such: a connection that fails must not cost more than that.
pub const EVENTS_AT_ONCE: usize = 2_000;

/// How the programs are to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of the flow table.
    pub flows: u32,
    /// What the programs are told.
    pub settings: Settings,
    /// Optional programs, and optional kernel fields (`structure.path`), that are not to be used.
    pub off: Vec<String>,
    /// After so many readings without news a flow without open connections is taken out of its table.
    pub idle_readings: u32,
    /// Whether processes have the numbers here that the kernel itself uses: then all of them are seen, too.
    pub numbers: bool,
}

/// The loaded programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    tables: FlowTables,
    loss: PerCpuArray<MapData, u64>,
    failures: RingBuf<MapData>,
    cgroups: RingBuf<MapData>,
    points: PointMaps,
    accept_watch: Option<BtfTracePointLinkId>,
    /// Programs that are attached because there are points.
    point_links: Vec<(&'static str, BtfTracePointLinkId)>,
    walker: Option<Walker>,
    /// The number of records of open sockets, as the programs keep it.
    records: Array<MapData, u64>,
    /// Changes of state that the twin of the life-cycle program has handled.
    caught: PerCpuArray<MapData, u64>,
    /// The walk of this tick, when it has met all open files and counted by flow.
    counted_walk: Option<u32>,
    /// Where connections wait to be accepted, by network namespace and port.
    queues: HashSet<(u32, u16)>,
    programs: Vec<ProgramStatus>,
    fields: Vec<Field>,
}

/// A kernel program's cost so far.
#[derive(Clone, Debug, Default)]
pub struct ProgramCost {
    /// Its name.
    pub program: &'static str,
    /// How often it ran.
    pub runs: u64,
    /// How long, in seconds.
    pub seconds: f64,
}

impl Kernel {
    /// Loads and attaches all programs, and takes in the sockets that are open already.
    ///
    /// # Errors
    /// When the kernel's BTF or a field that counting depends on is missing, or when the maps cannot be made. A program
    /// that does not load is no error here: see [`Kernel::programs`] and [`Kernel::sees_life_cycle`].
    pub fn open(options: &Options) -> anyhow::Result<Self> {
        let types = KernelTypes::read(Path::new(VMLINUX))?;
        let lockdown = lockdown();
        let open = |locked| {
            let (offsets, fields) = offsets::find(&types, &options.off, locked);
            if let Some(obstacle) = offsets::obstacle(&fields) {
                bail!(obstacle);
            }
            Self::open_with(options, offsets, fields)
        };
        let mut kernel = open(lockdown == Lockdown::Confidentiality);
        // Where securityfs is not to be seen, only trying tells.
        if lockdown == Lockdown::Unknown && kernel.as_ref().is_ok_and(|kernel| !kernel.is_active("walk")) {
            drop(kernel);
            kernel = open(true);
        }
        drop(types);
        // Reading the kernel's types takes tens of megabytes for a moment.
        give_back_memory();
        kernel
    }

    /// [`Kernel::open`] with given offsets.
    fn open_with(options: &Options, offsets: Offsets, fields: Vec<Field>) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", &offsets, true)
            .override_global("SETTINGS", &options.settings, true)
            .map_max_entries("FLOWS", options.flows)
            .load(OBJECT)
            .context("cannot create the kernel maps")?;
        let mut programs: Vec<ProgramStatus> = Vec::with_capacity(PROGRAMS.len());
        for program in &PROGRAMS {
            let outcome = match program.obstacle(options, &offsets, &programs) {
                Some(obstacle) => Err(obstacle),
                None => program.load(&mut ebpf, &btf),
            };
            programs.push(program.status(outcome));
        }

        let caught = PerCpuArray::try_from(take(&mut ebpf, "CAUGHT")?)?;
        let mut points = PointMaps::take(&mut ebpf)?;
        let walks = Array::try_from(take(&mut ebpf, "WALK")?)?;
        let mut walker = None;
        if let Some(status) = active_status(&mut programs, "walk") {
            match start_walking(&ebpf, walks) {
                Ok(started) => walker = Some(started),
                Err(error) => status.switch_off(format!("{error:#}")),
            }
        }
        let active = |name: &str| programs.iter().any(|status| status.program == name && status.active);
        points.control(Control::ResetsAreSeen, active("reset"))?;
        points.control(Control::ExchangesAreSeen, active("data_read") && active("data_sent"))?;
        if active("set_state_twin") {
            points.control(Control::TwinIsHere, true)?;
            thread::sleep(RUN);
            points.control(Control::TwinHandles, true)?;
        }
        let logger = match aya_log::EbpfLogger::init(&mut ebpf) {
            Ok(logger) => Some(logger),
            Err(error) => {
                tracing::warn!("the kernel programs' own messages cannot be read: {error}");
                None
            }
        };
        let mut kernel = Self {
            logger,
            tables: FlowTables::take(&mut ebpf, options.idle_readings)?,
            loss: PerCpuArray::try_from(take(&mut ebpf, "LOSS")?)?,
            failures: RingBuf::try_from(take(&mut ebpf, "FAILURES")?)?,
            cgroups: RingBuf::try_from(take(&mut ebpf, "CGROUPS")?)?,
            points,
            accept_watch: None,
            point_links: Vec::new(),
            walker,
            records: Array::try_from(take(&mut ebpf, "RECORDS")?)?,
            caught,
            counted_walk: None,
            queues: HashSet::new(),
            programs,
            fields,
            ebpf,
        };
        kernel.adopt()?;
        // In a process namespace of its own the agent sees its own files only: the sockets of others get their records at once.
        let found = kernel.walker.is_some() && options.numbers;
        kernel.points.control(Control::OpenSocketsAreFound, found)?;
        Ok(kernel)
    }

    /// Takes in the sockets that are open already.
    fn adopt(&mut self) -> anyhow::Result<()> {
        if let Some(walker) = &mut self.walker
            && let Err(error) = walker.walk(std::iter::empty())
        {
            self.walker = None;
            if let Some(status) = active_status(&mut self.programs, "walk") {
                status.switch_off(format!("{error:#}"));
            }
        }
        self.points.control(Control::OpenSocketsAreAdopted, true)
    }

    /// How each program fared.
    pub fn programs(&self) -> &[ProgramStatus] {
        &self.programs
    }

    /// The kernel fields that were looked for.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether a program is active.
    pub fn is_active(&self, program: &str) -> bool {
        self.programs
            .iter()
            .any(|status| status.program == program && status.active)
    }

    /// What is counted for points alone.
    pub fn points(&mut self) -> &mut PointMaps {
        &mut self.points
    }

    /// Says which cgroups are points' now, before a walk of the sampler; returns those that are new. What is not named any more
    /// is forgotten, so it has to be read before. The programs that are only about points are attached while there are any.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_points(&mut self, cgroups: &HashSet<u64>) -> anyhow::Result<Vec<u64>> {
        if !cgroups.is_empty() && self.point_links.is_empty() {
            self.attach_for_points()?;
        }
        let new = self.points.set(cgroups)?;
        if cgroups.is_empty() {
            for (name, link) in self.point_links.drain(..) {
                tracepoint(&mut self.ebpf, name)?
                    .detach(link)
                    .with_context(|| format!("{name} is still attached"))?;
            }
        }
        Ok(new)
    }

    fn attach_for_points(&mut self) -> anyhow::Result<()> {
        for (program, status) in PROGRAMS.iter().zip(&mut self.programs) {
            if !matches!(program.hook, Hook::Points(_)) || !status.active {
                continue;
            }
            match tracepoint(&mut self.ebpf, program.name)?.attach() {
                Ok(link) => self.point_links.push((program.name, link)),
                Err(error) => {
                    status.active = false;
                    status.reason = Some(programs::explain(error));
                }
            }
        }
        Ok(())
    }

    /// Counts failed `accept` calls of points from now on, or no more. While it does, every system call of the node takes
    /// a little longer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn watch_accept(&mut self, on: bool) -> anyhow::Result<()> {
        if on == self.accept_watch.is_some() || !self.is_active("accept_error") {
            return Ok(());
        }
        let program = tracepoint(&mut self.ebpf, "accept_error")?;
        match self.accept_watch.take() {
            None => self.accept_watch = Some(program.attach().context("failed accepts cannot be watched")?),
            Some(link) => program.detach(link).context("failed accepts are still watched")?,
        }
        Ok(())
    }

    /// Whether the life cycle of connections is seen: without it there is nothing to count.
    pub fn sees_life_cycle(&self) -> bool {
        LIFE_CYCLE.iter().any(|name| self.is_active(name))
    }

    /// Brings the flows of open connections up to date, and returns the listeners: those of all processes, or, where walking over
    /// all open files takes long, at most ticks those of `processes` alone.
    ///
    /// # Errors
    /// The walk over open files failed.
    pub fn sample(&mut self, processes: impl Iterator<Item = u32>) -> anyhow::Result<Vec<ListenerSample>> {
        let Some(walker) = &mut self.walker else {
            return Ok(Vec::new());
        };
        let walked = walker.walk(processes)?;
        let is_counted = self.points.has(Control::OpenSocketsAreCounted);
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

    /// Hands every flow to `each`, which says whether it has changed since the last time, and takes out those that were idle for
    /// long.
    ///
    /// # Errors
    /// The tables cannot be read. What was read before the error was handed over.
    pub fn collect(&mut self, each: impl FnMut(&agent_common::FlowKey, Reading<'_>) -> bool) -> anyhow::Result<()> {
        let runs = self.skipped_changes();
        let program: Option<&RawTracePoint> = match self.is_active("amend") {
            true => self.ebpf.program("amend").and_then(|program| program.try_into().ok()),
            false => None,
        };
        let missing = Missing {
            runs,
            walk: self.counted_walk.take(),
            waiting: &self.queues,
        };
        self.tables.collect(program, &missing, each)?;
        let is_short = runs > self.tables.mended() && self.walker.is_some();
        self.points.control(Control::OpenSocketsAreCounted, is_short)
    }

    /// Connections that were ended because nothing but runs that the kernel left out explains that they are open.
    pub fn mended(&self) -> u64 {
        self.tables.mended()
    }

    /// What was lost in the kernel so far.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn loss(&self) -> anyhow::Result<Vec<(Loss, u64)>> {
        Loss::ALL
            .into_iter()
            .map(|what| {
                let (cgroups, processes) = self.points.turned_away();
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

    /// Runs of programs that the kernel left out, as it does not run a program that it has just interrupted on the same
    /// processor: what they would have counted is missing. Those of the life-cycle program are [`Kernel::missed_changes`].
    pub fn skipped_runs(&self) -> u64 {
        let others = self.programs.iter().filter(|status| status.active);
        let others = others.filter(|status| !LIFE_CYCLE.contains(&status.program));
        others.map(|status| self.recursion_misses(status.program)).sum()
    }

    /// Changes of state that neither the life-cycle program nor its twin has handled.
    pub fn missed_changes(&self) -> u64 {
        let missed = self.skipped_changes();
        let handled: u64 = match LIFE_CYCLE.iter().all(|name| self.is_active(name)) {
            // Read after the other one: what is handled between the two is no loss.
            true => self.caught.get(&0, 0).map_or(0, |each| each.iter().sum()),
            false => 0,
        };
        missed.saturating_sub(handled)
    }

    /// Runs of the life-cycle program that the kernel left out, whether or not its twin made up for them.
    fn skipped_changes(&self) -> u64 {
        let active = LIFE_CYCLE.iter().find(|name| self.is_active(name));
        active.map_or(0, |name| self.recursion_misses(name))
    }

    fn recursion_misses(&self, program: &str) -> u64 {
        let program = self.ebpf.program(program).and_then(|program| program.fd().ok());
        program.map_or(0, |program| bpf::recursion_misses(program.as_fd()).unwrap_or(0))
    }

    /// How often each active program ran, and for how long; nothing when the kernel does not measure it (sysctl
    /// `kernel.bpf_stats_enabled`).
    pub fn costs(&self) -> Vec<ProgramCost> {
        if std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() == "0") {
            return Vec::new();
        }
        let active = self.programs.iter().filter(|status| status.active);
        active
            .filter_map(|status| {
                let info = self.ebpf.program(status.program)?.info().ok()?;
                Some(ProgramCost {
                    program: status.program,
                    runs: info.run_count(),
                    seconds: info.run_time().as_secs_f64(),
                })
            })
            .collect()
    }

    /// Hands the cgroups that have come and gone to `each`, in that order.
    pub fn cgroups(&mut self, mut each: impl FnMut(CgroupChange<'_>)) {
        while let Some(bytes) = self.cgroups.next() {
            if let Some((event, _)) = split::<CgroupEvent>(&bytes) {
                each(CgroupChange::of(&event));
            }
        }
    }

    /// Whether [`Kernel::cgroups`] tells of all cgroups.
    pub fn tells_cgroups(&self) -> bool {
        self.is_active("cgroup_mkdir") && self.is_active("cgroup_rmdir")
    }

    /// Readable (poll) while there are failure events.
    pub fn failures_ready(&self) -> BorrowedFd<'_> {
        self.failures.as_fd()
    }

    /// Hands the failure events that have come in to `each`, at most [`EVENTS_AT_ONCE`], and passes on the programs' own
    /// messages. Returns whether there may be more.
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

/// The status of a program that is active.
fn active_status<'a>(programs: &'a mut [ProgramStatus], name: &str) -> Option<&'a mut ProgramStatus> {
    let mut all = programs.iter_mut();
    all.find(|status| status.program == name && status.active)
}

fn start_walking(ebpf: &Ebpf, state: Array<MapData, u64>) -> anyhow::Result<Walker> {
    let program = ebpf.program("walk").context("the kernel object has no program walk")?;
    let program: &Iter = program.try_into()?;
    Walker::attach(program.fd()?.try_clone()?, state)
}

fn take(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the kernel object has no map {name}"))
}

fn tracepoint<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut BtfTracePoint> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

#[cfg(test)]
mod tests;
