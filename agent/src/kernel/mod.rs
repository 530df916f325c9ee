//! The kernel boundary: loads and attaches the programs, reads what they counted, and says what is missing.

mod btf;
mod capabilities;
mod cgroup;
mod iterator;
mod offsets;
mod points;
mod programs;
mod skipped;

pub use btf::{Btf as KernelTypes, BtfError, VMLINUX};
pub use capabilities::{missing_capabilities, sees_processes};
pub use cgroup::CgroupChange;
pub use offsets::Field;
pub use points::{PointMaps, PointProcess};
pub use programs::{Hook, PROGRAMS, ProgramStatus};

use crate::memory::give_back_memory;
use agent_common::{
    CgroupEvent, Control, FailureEvent, Flow, FlowEntry, FlowKey, ListenerSample, Loss, Offsets, Role, Settings,
};
use anyhow::{Context, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, tp_btf::BtfTracePointLinkId},
};
use iterator::{KernelIterator, split};
use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NARROWS_EBPF_OBJECT"));

/// Entries of the `OVERFLOW` map: one for each owner, place and role when the flow table is full.
pub const OVERFLOW_LIMIT: u32 = 4_096;

/// A retired flow stays so long before it is taken out: far longer than a program that had found it unmarked may run.
const QUARANTINE: Duration = Duration::from_secs(1);

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
    /// Whether processes have the numbers here that the kernel itself uses.
    pub numbers: bool,
}

/// The loaded programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    flows: HashMap<MapData, FlowKey, Flow>,
    totals: Array<MapData, Flow>,
    loss: PerCpuArray<MapData, u64>,
    failures: RingBuf<MapData>,
    cgroups: RingBuf<MapData>,
    points: PointMaps,
    accept_watch: Option<BtfTracePointLinkId>,
    /// Programs that are attached because there are points.
    point_links: Vec<(&'static str, BtfTracePointLinkId)>,
    sample: Option<KernelIterator>,
    adopt: Option<KernelIterator>,
    adopt_next: Instant,
    collect: Vec<KernelIterator>,
    retired: Vec<(FlowKey, Instant)>,
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

/// What one reading of the flow tables found.
pub enum Reading<'a> {
    /// A flow that changed, with its counters as they stand.
    Changed(&'a Flow),
    /// A flow that is out of the table, with its final counters.
    Gone(&'a Flow),
}

impl Kernel {
    /// Loads and attaches all programs, and takes in the sockets that are open already.
    ///
    /// # Errors
    /// When the kernel's BTF or a field that counting depends on is missing, or when the maps cannot be made. A program
    /// that does not load is no error here: see [`Kernel::missing_programs`].
    pub fn open(options: &Options) -> anyhow::Result<Self> {
        let types = KernelTypes::read(Path::new(VMLINUX))?;
        let (offsets, fields) = offsets::find(&types, &options.off);
        let missing = offsets::missing(&fields);
        if !missing.is_empty() {
            bail!(
                "this kernel has no {}: Narrows does not know where to look on it",
                missing.join(", ")
            );
        }
        drop(types);
        let kernel = Self::open_with(options, offsets, fields);
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

        let mut collect = Vec::new();
        let mut sample = None;
        let mut adopt = None;
        for status in programs.iter_mut().filter(|status| status.active) {
            let outcome = match status.program {
                "collect" => tie(&ebpf, "collect", "FLOWS")
                    .and_then(|flows| Ok(vec![flows, tie(&ebpf, "collect", "OVERFLOW")?]))
                    .map(|both| collect = both),
                "sample" => tie(&ebpf, "sample", "SOCKETS").map(|iterator| sample = Some(iterator)),
                "adopt" => KernelIterator::attach(iterator(&ebpf, "adopt")?, None)
                    .context("this kernel does not iterate over open files")
                    .and_then(|iterator| {
                        run_adoption(&iterator)?;
                        adopt = Some(iterator);
                        Ok(())
                    }),
                _ => Ok(()),
            };
            if let Err(error) = outcome {
                status.active = false;
                status.reason = Some(format!("{error:#}"));
            }
        }
        let mut points = PointMaps::take(&mut ebpf)?;
        let active = |name: &str| programs.iter().any(|status| status.program == name && status.active);
        points.control(Control::OpenSocketsAreFound, adopt.is_some())?;
        points.control(Control::ResetsAreSeen, active("reset"))?;
        points.control(Control::ExchangesAreSeen, active("data_read") && active("data_sent"))?;
        let logger = match aya_log::EbpfLogger::init(&mut ebpf) {
            Ok(logger) => Some(logger),
            Err(error) => {
                tracing::warn!("the kernel programs' own messages cannot be read: {error}");
                None
            }
        };
        Ok(Self {
            logger,
            flows: HashMap::try_from(take(&mut ebpf, "FLOWS")?)?,
            totals: Array::try_from(take(&mut ebpf, "TOTALS")?)?,
            loss: PerCpuArray::try_from(take(&mut ebpf, "LOSS")?)?,
            failures: RingBuf::try_from(take(&mut ebpf, "FAILURES")?)?,
            cgroups: RingBuf::try_from(take(&mut ebpf, "CGROUPS")?)?,
            points,
            accept_watch: None,
            point_links: Vec::new(),
            sample,
            adopt,
            adopt_next: Instant::now(),
            collect,
            retired: Vec::new(),
            programs,
            fields,
            ebpf,
        })
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

    /// The required programs that are not active.
    pub fn missing_programs(&self) -> Vec<&ProgramStatus> {
        self.programs
            .iter()
            .filter(|status| status.required && !status.active)
            .collect()
    }

    /// Brings the flows of all open connections up to date, and returns the listeners.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sample(&mut self) -> anyhow::Result<Vec<ListenerSample>> {
        let Some(sample) = &self.sample else {
            return Ok(Vec::new());
        };
        if let Some(adopt) = &self.adopt
            && Instant::now() >= self.adopt_next
        {
            let begin = Instant::now();
            run_adoption(adopt)?;
            self.adopt_next = next_walk(begin, begin.elapsed());
        }
        let mut listeners = Vec::new();
        sample
            .run(|listener| listeners.push(listener))
            .context("sampling open sockets failed")?;
        Ok(listeners)
    }

    /// Hands every flow that changed since the last time to `each`, and takes out those that were idle for long.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn collect(&mut self, mut each: impl FnMut(&FlowKey, Reading<'_>)) -> anyhow::Result<()> {
        self.take_retired(&mut each)?;
        for table in &self.collect {
            table
                .run(|FlowEntry { key, flow }| {
                    each(&key, Reading::Changed(&flow));
                    if flow.retired != 0 {
                        self.retired.push((key, Instant::now()));
                    }
                })
                .context("reading the flow tables failed")?;
        }
        for role in [Role::Client, Role::Server, Role::Listener] {
            let flow = self.totals.get(&(role as u32), 0)?;
            if flow.dirty != 0 {
                each(
                    &FlowKey {
                        role: role as u8,
                        ..FlowKey::default()
                    },
                    Reading::Changed(&flow),
                );
            }
        }
        Ok(())
    }

    fn take_retired(&mut self, each: &mut impl FnMut(&FlowKey, Reading<'_>)) -> anyhow::Result<()> {
        let ready = self
            .retired
            .iter()
            .take_while(|(_, since)| since.elapsed() >= QUARANTINE)
            .count();
        for (key, _) in self.retired.drain(..ready) {
            let flow = self.flows.get(&key, 0).context("a retired flow cannot be read")?;
            each(&key, Reading::Gone(&flow));
            self.flows.remove(&key).context("a retired flow cannot be taken out")?;
        }
        Ok(())
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

    /// Runs of programs that the kernel left out: it does not run a program that it has just interrupted on the same
    /// processor. What they would have counted is missing.
    pub fn skipped_runs(&self) -> u64 {
        let active = self.programs.iter().filter(|status| status.active);
        active
            .filter_map(|status| {
                let program = self.ebpf.program(status.program)?;
                skipped::recursion_misses(program.fd().ok()?.as_fd()).ok()
            })
            .sum()
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

/// Gives every socket that a process has open a record; writes nothing.
fn run_adoption(adopt: &KernelIterator) -> anyhow::Result<()> {
    adopt.run(|_: u64| {}).context("iterating over open files failed")
}

/// When open files are walked again, after a walk that began at `begin` and took so long: at the next tick, unless there are
/// so many files that the walks would take more than a hundredth of a processor's time.
pub(crate) fn next_walk(begin: Instant, took: Duration) -> Instant {
    const SHORT: Duration = Duration::from_millis(10);
    if took <= SHORT { begin } else { begin + took * 100 }
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

fn iterator<'a>(ebpf: &'a Ebpf, name: &str) -> anyhow::Result<&'a Iter> {
    let program = ebpf
        .program(name)
        .with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn tie(ebpf: &Ebpf, program: &str, map: &str) -> anyhow::Result<KernelIterator> {
    let fd: BorrowedFd<'_> = match ebpf.map(map) {
        Some(Map::HashMap(data) | Map::SkStorage(data)) => data.fd().as_fd(),
        _ => bail!("the kernel object has no map {map}"),
    };
    KernelIterator::attach(iterator(ebpf, program)?, Some(fd))
        .with_context(|| format!("this kernel does not iterate over the map {map}"))
}

#[cfg(test)]
mod tests;
