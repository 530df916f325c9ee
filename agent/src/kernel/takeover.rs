//! What the previous agent has left in the BPF file system, and how it is used.

use super::{
    bpf::Blob,
    control::Controls,
    handover,
    layout::Layout,
    pins::{LayoutDir, Pins, Unusable},
};
use crate::program::LIFE_CYCLE;
use agent_common::ControlBlock;
use anyhow::bail;
use aya::maps::{Array, Map, MapData};
use std::path::Path;

/// Whether counting starts from 0, or from what an earlier agent has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing was found: counting starts now.
    Fresh,
    /// The same programs have counted all the time.
    Resumed,
    /// Other programs have counted in the same maps; these took over from them without a gap.
    Replaced,
    /// What was found cannot be used, for this reason. What was counted since it was last read is lost.
    Restarted(String),
}

/// The directory for pins, and what was found in it.
pub struct Found {
    /// The directory; `None` when nothing can be pinned.
    pub place: Option<(Pins, LayoutDir)>,
    /// Why there is no directory, where one was requested.
    pub refused: Option<String>,
    /// Whether its maps can be used.
    pub is_usable: bool,
    /// Why existing maps cannot be used.
    pub unusable: Option<String>,
    /// The state that the previous agent stored.
    pub state: Option<Vec<u8>>,
}

impl Found {
    /// How counting starts, given whether the programs that count there are the `same` as those of this agent.
    pub fn start(&self, same: bool) -> Start {
        match (&self.unusable, self.is_usable, same) {
            (Some(why), ..) => Start::Restarted(why.clone()),
            (None, true, true) => Start::Resumed,
            (None, true, false) => Start::Replaced,
            (None, false, _) => Start::Fresh,
        }
    }
}

/// Checks what exists. What cannot be used is removed when it is in the way.
///
/// # Errors
/// Another agent is running.
pub fn find(root: Option<&Path>, layout: &Layout) -> anyhow::Result<Found> {
    let mut found = Found {
        place: None,
        refused: None,
        is_usable: false,
        unusable: None,
        state: None,
    };
    let pins = match root.map(Pins::open) {
        None => return Ok(found),
        Some(Ok(pins)) => pins,
        Some(Err(Unusable::Busy(why))) => bail!(why),
        Some(Err(Unusable::Refused(why))) => {
            found.refused = Some(why);
            return Ok(found);
        }
    };
    let own = pins.layout(&layout.name());
    if own.exists() {
        match check(&own, layout) {
            Ok(()) => found.is_usable = true,
            Err(error) => found.unusable = Some(format!("{error:#}")),
        }
        found.state = Blob::read(&own.state()).ok();
    }
    if !found.is_usable {
        let others = pins.layouts();
        for other in others.iter().filter(|other| other.path() != own.path()) {
            let name = other.path().display();
            found.unusable.get_or_insert_with(|| {
                format!("{name} has another layout: it was made by another version, or with other limits")
            });
            // If there are several, any one: all but the last are left over from agents that ended during startup.
            found.state = found.state.or_else(|| Blob::read(&other.state()).ok());
        }
        // The names are needed.
        let removed = own.remove();
        if let Err(error) = removed.and_then(|()| Ok(own.make()?)) {
            found.refused = Some(format!("{error:#}"));
            return Ok(found);
        }
    }
    found.place = Some((pins, own));
    Ok(found)
}

/// Checks that the maps have the expected definitions, and that a program counts in them.
fn check(directory: &LayoutDir, layout: &Layout) -> anyhow::Result<()> {
    for name in layout.maps() {
        layout.check(name, &directory.map(name))?;
    }
    let path = directory.path().display();
    if epoch(directory)? == 0 {
        bail!(
            "{path} is not in use: its agent ended during startup, or has not been running for more than {} minutes",
            super::control::PATIENCE.as_secs() / 60
        );
    }
    // Of any epoch: an agent may have ended during a handover.
    let mut links = (directory.epochs().into_iter())
        .flat_map(|epoch| LIFE_CYCLE.map(|program| directory.epoch(epoch).link(program.name)));
    if !links.any(|link| link.exists()) {
        bail!("{path} has no program that counts");
    }
    Ok(())
}

/// The epoch of the programs that count in these maps.
fn epoch(directory: &LayoutDir) -> anyhow::Result<u32> {
    let map = MapData::from_pin(directory.map("CONTROL"))?;
    let control: Array<_, ControlBlock> = Array::try_from(Map::Array(map))?;
    Ok(control.get(&0, 0)?.epoch)
}

/// Completes an interrupted handover, and returns whether these programs are the ones that count.
///
/// # Errors
/// The system call's error.
pub fn is_same(directory: &LayoutDir, controls: &mut Controls, epoch: u32) -> anyhow::Result<bool> {
    handover::recover(directory, controls)?;
    Ok(controls.epoch() == epoch)
}

/// Removes layouts in which no program counts any more.
pub fn clean(pins: &Pins, own: &LayoutDir) {
    for other in pins.layouts().into_iter().filter(|other| other.path() != own.path()) {
        if let Err(error) = other.remove() {
            tracing::warn!("what another agent has left cannot be removed: {error:#}");
        }
    }
}
