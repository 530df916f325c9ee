//! The kernel's statistics of loaded programs: runs, and time.

use anyhow::{Context as _, Result};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, loaded_programs},
};
use std::{collections::BTreeMap, fs, ops::Add};

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Switches the kernel's statistics on; restores the previous setting when dropped.
pub(crate) struct Statistics(String);

impl Statistics {
    pub(crate) fn on() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).with_context(|| format!("cannot read {STATISTICS}"))?;
        fs::write(STATISTICS, "1").with_context(|| format!("cannot write {STATISTICS}"))?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _nothing_to_do_about_it = fs::write(STATISTICS, &self.0);
    }
}

/// Runs and nanoseconds of one program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) runs: u64,
    pub(crate) nanoseconds: f64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            nanoseconds: self.nanoseconds + other.nanoseconds,
        }
    }
}

/// All programs that are loaded, by id.
pub(crate) fn costs() -> Result<BTreeMap<u32, (String, Cost)>> {
    loaded_programs()
        .map(|info| {
            let info = info.context("cannot list the loaded programs")?;
            let name = info.name_as_str().unwrap_or_default().to_owned();
            let cost = Cost {
                runs: info.run_count(),
                nanoseconds: info.run_time().as_nanos() as f64,
            };
            Ok((info.id(), (name, cost)))
        })
        .collect()
}

/// Loads and attaches the empty programs.
pub(crate) fn attach_floor(object: &[u8]) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(object).context("cannot load the empty programs")?;
    let btf = Btf::from_sys_fs()?;
    for (name, hook) in [("set_state", "inet_sock_set_state"), ("sched_switch", "sched_switch")] {
        let program: &mut BtfTracePoint = ebpf
            .program_mut(name)
            .with_context(|| format!("no program {name}"))?
            .try_into()?;
        program.load(hook, &btf)?;
        program.attach()?;
    }
    Ok(ebpf)
}
