//! The kernel boundary: loads and attaches the programs, reads what they counted, and says what is missing.

mod btf;
mod capabilities;
mod cgroup;
mod iterator;
mod offsets;
mod programs;
mod skipped;

pub use btf::{Btf as KernelTypes, BtfError, VMLINUX};
pub use capabilities::{missing_capabilities, sees_processes};
pub use cgroup::CgroupChange;
pub use offsets::{Field, signal_without};
pub use programs::{PROGRAMS, ProgramStatus};

use crate::memory::give_back_memory;
use agent_common::{
    CgroupEvent, Control, FailureEvent, Flow, FlowEntry, FlowKey, ListenerSample, Loss, Offsets, Role, Settings,
};
use anyhow::{Context, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::Iter,
};
use iterator::{KernelIterator, split};
use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NARROWS_EBPF_OBJECT"));

/// Entries of the `OVERFLOW` map: one for each owner, place and role when the flow table is full.
pub const OVERFLOW_LIMIT: u32 = 4_096;

/// A retired flow stays so long before it is taken out: far longer than a program that had found it unmarked may run.
const QUARANTINE: Duration = Duration::from_secs(1);

/// How the programs are to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of the flow table.
    pub flows: u32,
    /// What the programs are told.
    pub settings: Settings,
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
        let (offsets, fields) = offsets::find(&types);
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
        let mut programs: Vec<_> = PROGRAMS
            .iter()
            .map(|program| program.status(program.load(&mut ebpf, &btf)))
            .collect();

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
        let mut control = 0;
        for (there, bit) in [
            (adopt.is_some(), Control::OpenSocketsAreFound),
            (
                programs.iter().any(|status| status.program == "reset" && status.active),
                Control::ResetsAreSeen,
            ),
        ] {
            control |= if there { bit as u32 } else { 0 };
        }
        let mut bits: Array<_, u32> = Array::try_from(take(&mut ebpf, "CONTROL")?)?;
        bits.set(0, control, 0)
            .context("cannot tell the programs what is attached")?;
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
            .map(|what| Ok((what, self.loss.get(&(what as u32), 0)?.iter().sum())))
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
        let both = ["cgroup_mkdir", "cgroup_rmdir"];
        let mut programs = self.programs.iter().filter(|status| both.contains(&status.program));
        programs.all(|status| status.active)
    }

    /// Hands the failure events that have come in to `each`, and passes on the programs' own messages.
    pub fn drain(&mut self, mut each: impl FnMut(FailureEvent)) {
        while let Some(bytes) = self.failures.next() {
            if let Some((event, _)) = split(&bytes) {
                each(event);
            }
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

/// Gives every socket that a process has open a record; writes nothing.
fn run_adoption(adopt: &KernelIterator) -> anyhow::Result<()> {
    adopt.run(|_: u64| {}).context("iterating over open files failed")
}

/// When open files are walked again, after a walk that began at `begin` and took so long: at the next tick, unless there are
/// so many files that the walks would take more than a hundredth of a processor's time.
fn next_walk(begin: Instant, took: Duration) -> Instant {
    const SHORT: Duration = Duration::from_millis(10);
    if took <= SHORT { begin } else { begin + took * 100 }
}

fn take(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the kernel object has no map {name}"))
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
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        flows: 64,
        settings: Settings::DEFAULT,
    };

    fn offsets() -> (Offsets, Vec<Field>) {
        offsets::find(&KernelTypes::read(Path::new(VMLINUX)).expect("this kernel has BTF"))
    }

    #[test]
    fn a_refused_program_shows_the_end_of_the_verifiers_log() {
        let (mut offsets, fields) = offsets();
        // Beyond the end of the structure.
        offsets.sk_err = 1 << 20;
        let kernel = Kernel::open_with(&OPTIONS, offsets, fields).expect("the others load");
        let missing = kernel.missing_programs();
        assert_eq!(
            missing.iter().map(|status| status.program).collect::<Vec<_>>(),
            ["set_state"]
        );
        let reason = missing[0].reason.as_deref().expect("a reason");
        assert!(
            reason.contains("verifier refused it") && reason.contains("access beyond struct sock"),
            "{reason}"
        );
        assert!(
            reason.lines().count() <= 10,
            "the end of the log, not all of it: {reason}"
        );
        assert_eq!(
            kernel.programs().iter().filter(|status| status.active).count(),
            PROGRAMS.len() - 1
        );
    }

    #[test]
    fn long_walks_over_open_files_are_rare() {
        let begin = Instant::now();
        assert_eq!(next_walk(begin, Duration::from_millis(5)), begin);
        assert_eq!(
            next_walk(begin, Duration::from_millis(50)),
            begin + Duration::from_secs(5)
        );
    }

    #[test]
    fn an_absent_optional_field_switches_off_only_its_signal() {
        let (mut offsets, fields) = offsets();
        for &(name, _, _, required) in Offsets::FIELDS {
            if !required {
                assert!(offsets.set(name, agent_common::ABSENT));
            }
        }
        let kernel = Kernel::open_with(&OPTIONS, offsets, fields).expect("it loads");
        let inactive: Vec<_> = kernel.programs().iter().filter(|status| !status.active).collect();
        assert!(inactive.is_empty(), "{inactive:?}");
    }
}
