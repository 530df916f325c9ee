//! The beginning: loads the programs, or takes over those that an earlier agent has left, attaches them, and takes in what is open.

use super::{
    Kernel, OBJECT, Options, active_status,
    btf::{Btf as KernelTypes, VMLINUX},
    control::Controls,
    handover,
    layout::{self, Layout},
    offsets,
    points::PointMaps,
    probes::Probes,
    processors,
    programs::ProgramStatus,
    restrictions::{Lockdown, lockdown},
    tables::FlowTables,
    take,
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
    Btf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, PerCpuValues, RingBuf},
};
use std::{collections::HashSet, path::Path};

impl Kernel {
    /// Loads and attaches all programs, and takes in the sockets that are open already.
    ///
    /// # Errors
    /// When the kernel's BTF or a field that counting depends on is missing, or when the maps cannot be made. A program
    /// that does not load is no error here: see [`Kernel::programs`] and [`Kernel::sees_life_cycle`].
    pub fn open(options: &Options) -> anyhow::Result<Self> {
        let types = KernelTypes::read(Path::new(VMLINUX))?;
        let mut found = offsets::find(&types, &options.off, lockdown() == Lockdown::Confidentiality);
        if let Some(obstacle) = offsets::obstacle(&found.fields) {
            bail!(obstacle);
        }
        // Where securityfs is not to be seen, only trying tells.
        if lockdown() == Lockdown::Unknown && !loads_walk(options, &found)? {
            found = offsets::find(&types, &options.off, true);
        }
        drop(types);
        let kernel = Self::open_with(options, found);
        // Reading the kernel's types takes tens of megabytes for a moment.
        give_back_memory();
        kernel
    }

    /// [`Kernel::open`] with what was found in the kernel's types.
    pub(super) fn open_with(options: &Options, types: offsets::Found) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let layout = Layout::of(options)?;
        let found = takeover::find(options.pins.as_deref(), &layout)?;
        let directory = found.place.as_ref().map(|(_, directory)| directory.clone());
        let epoch = layout::epoch(options, &types.offsets);
        let settings = Settings {
            epoch,
            ..options.settings
        };
        let mut loader = EbpfLoader::new();
        loader
            .override_global("OFFSETS", &types.offsets, true)
            .override_global("SETTINGS", &settings, true)
            .map_max_entries("FLOWS", options.flows);
        if let Some(directory) = &directory {
            for name in layout.maps() {
                loader.map_pin_path(name, directory.map(name));
            }
        }
        let mut ebpf = loader.load(OBJECT).context("cannot create the kernel maps")?;
        let mut controls = Controls::take(&mut ebpf, directory.is_some())?;
        let is_same = match &directory {
            Some(directory) if found.is_usable => takeover::is_same(directory, &mut controls, epoch)?,
            _ => false,
        };
        let names = directory.as_ref().map(|directory| directory.epoch(epoch));
        if let Some(names) = &names {
            names.make().context("the programs' directory cannot be made")?;
        }

        let mut probes = Probes::new(names);
        let mut programs: Vec<ProgramStatus> = Vec::new();
        let (mut walk, mut amend) = (None, None);
        for program in signals::programs() {
            let outcome = match program.obstacle(options, &types, &programs) {
                Some(obstacle) => Err(obstacle),
                None if is_same && program.is_lasting() && probes.resume(program.name) => Ok(()),
                // Another one at the same hook would count again what the one that is there has counted.
                None if is_same && program.is_life_cycle() => Err("it was not attached when counting began".to_owned()),
                None => program.load(&mut ebpf, &btf).and_then(|loaded| {
                    match program.hook {
                        Hook::Iterator(_) => walk = Some(loaded),
                        Hook::Run => amend = Some(loaded),
                        _ => {
                            let added = probes.add(program.name, loaded, program.is_lasting());
                            added.map_err(|error| format!("{error:#}"))?;
                        }
                    }
                    Ok(())
                }),
            };
            programs.push(program.status(outcome));
        }
        let start = match (found.unusable, found.is_usable, is_same) {
            (Some(why), ..) => Start::Restarted(why),
            (None, true, true) => Start::Resumed,
            (None, true, false) => Start::Replaced,
            (None, false, _) => Start::Fresh,
        };
        let mut caught: PerCpuArray<MapData, u64> = PerCpuArray::try_from(take(&mut ebpf, "CAUGHT")?)?;
        let [_, twin] = LIFE_CYCLE;
        let has_twin = probes.program(twin.name).is_some();
        if let (Start::Replaced, Some(directory)) = (&start, &directory) {
            controls.set(Control::TwinIsHere, has_twin)?;
            let before = directory.epoch(controls.epoch());
            handover::hand_over(&before, &mut probes, &mut controls, epoch)?;
            // It is compared with what the kernel left out of runs of the new program.
            let zero = PerCpuValues::try_from(vec![0; processors()?])?;
            caught.set(0, zero, 0).context("the twin's counter cannot be set")?;
        }
        attach(&mut probes, &mut programs, start == Start::Replaced);

        let mut walker = None;
        let walks = Array::try_from(take(&mut ebpf, "WALK")?)?;
        if let (Some(status), Some(program)) = (active_status(&mut programs, &WALK), walk) {
            match Walker::attach(program, walks) {
                Ok(started) => walker = Some(started),
                Err(error) => status.switch_off(format!("{error:#}")),
            }
        }
        let active = |program: &Program| {
            programs
                .iter()
                .any(|status| status.program == program.name && status.active)
        };
        controls.set(Control::TwinIsHere, has_twin)?;
        controls.set(Control::ResetsAreSeen, active(&RESET))?;
        controls.set(
            Control::ExchangesAreSeen,
            active(&delays::READ) && active(&delays::SENT),
        )?;
        // From now on they count.
        controls.begin(epoch)?;
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
            points: PointMaps::take(&mut ebpf)?,
            controls,
            probes,
            amend,
            walker,
            records: Array::try_from(take(&mut ebpf, "RECORDS")?)?,
            caught,
            counted_walk: None,
            queues: HashSet::new(),
            programs,
            fields: types.fields,
            enumerations: types.enumerations,
            start,
            place: found.place,
            refused: found.refused,
            state: found.state,
        };
        // An agent before this one may have had no marks.
        kernel.mark(kernel.points.threads())?;
        kernel.controls.set(Control::ThreadsAreMarked, kernel.amend.is_some())?;
        kernel.adopt()?;
        // In a process namespace of its own the agent sees its own files only: the sockets of others get their records at once.
        let found = kernel.walker.is_some() && options.numbers;
        kernel.controls.set(Control::OpenSocketsAreFound, found)?;
        if let Some((pins, directory)) = &kernel.place {
            takeover::clean(pins, directory);
        }
        Ok(kernel)
    }

    /// Takes in the sockets that are open already.
    fn adopt(&mut self) -> anyhow::Result<()> {
        if let Some(walker) = &mut self.walker
            && let Err(error) = walker.walk(std::iter::empty())
        {
            self.walker = None;
            if let Some(status) = active_status(&mut self.programs, &WALK) {
                status.switch_off(format!("{error:#}"));
            }
        }
        self.controls.set(Control::OpenSocketsAreAdopted, true)
    }
}

/// Attaches what is to be attached now. `Hook::Points` and `Hook::OnDemand` programs are tried, as whether they can be attached is
/// to be known before it is wanted; not where others that they replace may be attached.
fn attach(probes: &mut Probes, programs: &mut [ProgramStatus], is_replacing: bool) {
    for program in signals::programs() {
        let Some(status) = active_status(programs, program) else {
            continue;
        };
        let attached = match program.hook {
            Hook::Tracepoint(_) => probes.attach(program.name),
            Hook::Points(_) | Hook::OnDemand(_) if !is_replacing && !probes.is_attached(program.name) => {
                probes.attach(program.name).and_then(|()| probes.detach(program.name))
            }
            _ => Ok(()),
        };
        if let Err(error) = attached {
            status.switch_off(format!("{error:#}"));
        }
    }
}

/// Whether the walk over open files can be loaded with these offsets: it reads kernel memory.
fn loads_walk(options: &Options, types: &offsets::Found) -> anyhow::Result<bool> {
    let mut ebpf = EbpfLoader::new()
        .override_global("OFFSETS", &types.offsets, true)
        .map_max_entries("FLOWS", 64)
        .load(OBJECT)
        .context("cannot create the kernel maps")?;
    let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    Ok(WALK.obstacle(options, types, &[]).is_some() || WALK.load(&mut ebpf, &btf).is_ok())
}
