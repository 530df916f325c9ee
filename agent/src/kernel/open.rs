//! Startup: loads the programs, or takes over those that an earlier agent has left, attaches them, and registers what is already
//! open.

use super::{
    Kernel,
    ages::AgeTable,
    btf::{Btf as KernelTypes, VMLINUX},
    control::Controls,
    handover,
    layout::{self, Layout},
    object::{OBJECT, processors, take},
    offsets,
    options::Options,
    paths::PathTable,
    pins::{EpochDir, LayoutDir},
    points::PointMaps,
    probes::Probes,
    programs::{self, ProgramStatus},
    restrictions::{Lockdown, lockdown},
    tables::FlowTables,
    takeover::{self, Start},
    walk::Walker,
};
use crate::{
    memory::give_back_memory,
    program::{Hook, LIFE_CYCLE, Program, RESET, WALK},
    signals::{self, delays},
};
use agent_common::{Control, Settings};
use anyhow::{Context, bail};
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, PerCpuValues, RingBuf},
};
use aya_log::EbpfLogger;
use std::{
    collections::HashSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

impl Kernel {
    /// Loads and attaches all programs, and registers the sockets that are already open.
    ///
    /// # Errors
    /// When the kernel's BTF or a required field is missing, or when the maps cannot be created. A program that cannot be loaded is
    /// not an error here: see [`Kernel::programs`] and [`Kernel::sees_life_cycle`].
    pub fn open(options: &Options) -> anyhow::Result<Self> {
        let types = KernelTypes::read(Path::new(VMLINUX))?;
        let mut found = offsets::find(&types, &options.off, lockdown() == Lockdown::Confidentiality);
        if let Some(obstacle) = offsets::obstacle(&found.fields) {
            bail!(obstacle);
        }
        // Where securityfs is not visible, only trying tells.
        if lockdown() == Lockdown::Unknown && !loads_walk(options, &found)? {
            found = offsets::find(&types, &options.off, true);
        }
        drop(types);
        let kernel = Self::open_with(options, found);
        // Parsing the kernel's types takes tens of megabytes for a moment.
        give_back_memory();
        kernel
    }

    /// [`Kernel::open`] with the results of reading the kernel's types.
    pub(super) fn open_with(options: &Options, types: offsets::Found) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let layout = Layout::of(options)?;
        let found = takeover::find(options.pins.as_deref(), &layout)?;
        let directory = found.place.as_ref().map(|(_, directory)| directory.clone());
        let epoch = layout::epoch(options, &types.offsets);
        let mut ebpf = make_maps(options, &types, epoch, &layout, directory.as_ref())?;
        let mut controls = Controls::take(&mut ebpf, directory.is_some())?;
        let is_same = match &directory {
            Some(directory) if found.is_usable => takeover::is_same(directory, &mut controls, epoch)?,
            _ => false,
        };
        let names = directory.as_ref().map(|directory| directory.epoch(epoch));
        if let Some(names) = &names {
            names.make().context("the programs' directory cannot be made")?;
        }

        let mut loaded = Loaded::new(names, options.cgroups.clone());
        loaded.load(&mut ebpf, &btf, options, &types, is_same);
        let start = found.start(is_same);
        let mut caught = PerCpuArray::try_from(take(&mut ebpf, "CAUGHT")?)?;
        if let (Start::Replaced, Some(directory)) = (&start, &directory) {
            loaded.take_over(directory, &mut controls, epoch, &mut caught)?;
        }
        loaded.attach(start == Start::Replaced);
        let walker = loaded.attach_walk(Array::try_from(take(&mut ebpf, "WALK")?)?);
        loaded.tell(&mut controls)?;
        // They count from now on.
        controls.begin(epoch)?;

        let mut kernel = Self {
            logger: logger(&mut ebpf),
            tables: FlowTables::take(&mut ebpf, options.idle_readings)?,
            loss: PerCpuArray::try_from(take(&mut ebpf, "LOSS")?)?,
            failures: RingBuf::try_from(take(&mut ebpf, "FAILURES")?)?,
            cgroups: RingBuf::try_from(take(&mut ebpf, "CGROUPS")?)?,
            points: PointMaps::take(&mut ebpf)?,
            ages: AgeTable::take(&mut ebpf)?,
            paths: PathTable::take(&mut ebpf)?,
            controls,
            probes: loaded.probes,
            amend: loaded.amend,
            walker,
            listening: HashSet::new(),
            records: Array::try_from(take(&mut ebpf, "RECORDS")?)?,
            caught,
            counted_walk: None,
            queues: HashSet::new(),
            programs: loaded.statuses,
            fields: types.fields,
            enumerations: types.enumerations,
            start,
            place: found.place,
            refused: found.refused,
            state: found.state,
        };
        kernel.take_in(options)?;
        if let Some((pins, directory)) = &kernel.place {
            takeover::clean(pins, directory);
        }
        Ok(kernel)
    }

    /// Registers what exists already: threads of points, and open sockets.
    fn take_in(&mut self, options: &Options) -> anyhow::Result<()> {
        // The previous agent may not have used marks.
        self.mark(self.points.threads())?;
        self.controls.set(Control::ThreadsAreMarked, self.amend.is_some())?;
        self.adopt()?;
        // In its own pid namespace the agent sees only its own files: the sockets of other processes get their records at once.
        let found = self.walker.is_some() && options.numbers;
        self.controls.set(Control::OpenSocketsAreFound, found)
    }

    /// Registers the sockets that are already open.
    fn adopt(&mut self) -> anyhow::Result<()> {
        if let Some(walker) = &mut self.walker
            && let Err(error) = walker.walk(std::iter::empty())
        {
            self.walker = None;
            if let Some(status) = programs::active_mut(&mut self.programs, &WALK) {
                status.switch_off(format!("{error:#}"));
            }
        }
        self.controls.set(Control::OpenSocketsAreAdopted, true)
    }
}

/// Creates the maps, or opens those that are pinned in `directory`; the programs in the returned object are not loaded yet.
fn make_maps(
    options: &Options,
    types: &offsets::Found,
    epoch: u32,
    layout: &Layout,
    directory: Option<&LayoutDir>,
) -> anyhow::Result<Ebpf> {
    let settings = Settings {
        epoch,
        ..options.settings
    };
    let mut loader = EbpfLoader::new();
    loader
        .override_global("OFFSETS", &types.offsets, true)
        .override_global("SETTINGS", &settings, true)
        .map_max_entries("FLOWS", options.flows);
    if let Some(directory) = directory {
        for name in layout.maps() {
            loader.map_pin_path(name, directory.map(name));
        }
    }
    loader.load(OBJECT).map_err(refused)
}

/// Says why the kernel maps could not be created. An agent without its capabilities ends before it gets here.
fn refused(error: EbpfError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let is_eperm = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
    };
    let what = if error.chain().any(is_eperm) {
        "cannot create the kernel maps: where the capabilities are there, a seccomp profile or a security module forbids bpf() (in \
         Kubernetes, use the component seccomp-profile or seccomp-unconfined)"
    } else {
        "cannot create the kernel maps"
    };
    error.context(what)
}

/// The kernel programs that this kernel accepts.
struct Loaded {
    /// Programs attached to tracepoints.
    probes: Probes,
    /// The program that walks over open files.
    walk: Option<OwnedFd>,
    /// The program that modifies single flows.
    amend: Option<OwnedFd>,
    statuses: Vec<ProgramStatus>,
}

impl Loaded {
    /// No programs yet; those at tracepoints will be pinned in `names`.
    const fn new(names: Option<EpochDir>, cgroups: PathBuf) -> Self {
        Self {
            probes: Probes::new(names, cgroups),
            walk: None,
            amend: None,
            statuses: Vec::new(),
        }
    }

    /// Loads all programs. If the `same` programs are pinned already, those are used.
    fn load(&mut self, ebpf: &mut Ebpf, btf: &Btf, options: &Options, types: &offsets::Found, same: bool) {
        for program in signals::programs() {
            let outcome = match program.obstacle(options, types, &self.statuses) {
                Some(obstacle) => Err(obstacle),
                None if same && program.is_lasting() && self.probes.resume(program) => Ok(()),
                // A second one at the same hook would count again what the existing one has counted.
                None if same && program.is_life_cycle() => Err("it was not attached when counting began".to_owned()),
                None => program
                    .load(ebpf, btf)
                    .and_then(|descriptor| self.add(program, descriptor)),
            };
            self.statuses.push(program.status(outcome));
        }
    }

    fn add(&mut self, program: &Program, descriptor: OwnedFd) -> Result<(), String> {
        match program.hook {
            Hook::Iterator(_) => self.walk = Some(descriptor),
            Hook::Run => self.amend = Some(descriptor),
            Hook::Tracepoint(_) | Hook::Points(_) | Hook::Cgroups(_) | Hook::OnDemand(_) => {
                let added = self.probes.add(program, descriptor);
                added.map_err(|error| format!("{error:#}"))?;
            }
        }
        Ok(())
    }

    /// Replaces the programs that count by these, which are of `epoch`.
    fn take_over(
        &mut self,
        directory: &LayoutDir,
        controls: &mut Controls,
        epoch: u32,
        caught: &mut PerCpuArray<MapData, u64>,
    ) -> anyhow::Result<()> {
        controls.set(Control::TwinIsHere, self.has_twin())?;
        let before = directory.epoch(controls.epoch());
        handover::hand_over(&before, &mut self.probes, controls, epoch)?;
        // It is compared with the runs of the new program that the kernel skipped.
        let zero = PerCpuValues::try_from(vec![0; processors()?])?;
        caught.set(0, zero, 0).context("the twin's counter cannot be set")
    }

    fn has_twin(&self) -> bool {
        let [_, twin] = LIFE_CYCLE;
        self.probes.program(twin.name).is_some()
    }

    /// Attaches the programs that are to be attached at startup. Those that concern points or are attached on demand are attached
    /// for a test, so that failures are known before they are needed; not where others that they replace may be attached.
    fn attach(&mut self, is_replacing: bool) {
        let probes = &mut self.probes;
        for program in signals::programs() {
            let Some(status) = programs::active_mut(&mut self.statuses, program) else {
                continue;
            };
            let attached = match program.hook {
                Hook::Tracepoint(_) => probes.attach(program.name),
                Hook::Points(_) | Hook::Cgroups(_) | Hook::OnDemand(_)
                    if !is_replacing && !probes.is_attached(program.name) =>
                {
                    probes.attach(program.name).and_then(|()| probes.detach(program.name))
                }
                _ => Ok(()),
            };
            if let Err(error) = attached {
                status.switch_off(format!("{error:#}"));
            }
        }
    }

    /// Attaches the walk over open files. `state` is its map.
    fn attach_walk(&mut self, state: Array<MapData, u64>) -> Option<Walker> {
        let status = programs::active_mut(&mut self.statuses, &WALK)?;
        match Walker::attach(self.walk.take()?, state) {
            Ok(walker) => Some(walker),
            Err(error) => {
                status.switch_off(format!("{error:#}"));
                None
            }
        }
    }

    /// Tells the programs which others are active.
    fn tell(&self, controls: &mut Controls) -> anyhow::Result<()> {
        let is_active = |program: &Program| programs::is_active(&self.statuses, program);
        controls.set(Control::TwinIsHere, self.has_twin())?;
        controls.set(Control::ResetsAreSeen, is_active(&RESET))?;
        controls.set(
            Control::ExchangesAreSeen,
            is_active(&delays::READ) && is_active(&delays::SENT),
        )
    }
}

/// Forwards the programs' log messages.
fn logger(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    match EbpfLogger::init(ebpf) {
        Ok(logger) => Some(logger),
        Err(error) => {
            tracing::warn!("the kernel programs' own messages cannot be read: {error}");
            None
        }
    }
}

/// Whether the walk over open files can be loaded with these offsets: it reads kernel memory.
fn loads_walk(options: &Options, types: &offsets::Found) -> anyhow::Result<bool> {
    let mut ebpf = EbpfLoader::new()
        .override_global("OFFSETS", &types.offsets, true)
        .map_max_entries("FLOWS", 64)
        .load(OBJECT)
        .map_err(refused)?;
    let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    Ok(WALK.obstacle(options, types, &[]).is_some() || WALK.load(&mut ebpf, &btf).is_ok())
}
