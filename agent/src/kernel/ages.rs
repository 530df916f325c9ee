//! The ages of the open connections of points, by flow and process.

use super::{
    bpf::BatchReader,
    object::{descriptor, take},
};
use agent_common::{AgeKey, FlowAges};
use anyhow::Context;
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
};
use std::os::fd::{AsFd, OwnedFd};

/// The table in which walks over open files count by age.
pub struct AgeTable {
    table: HashMap<MapData, AgeKey, FlowAges>,
    fd: OwnedFd,
    reader: BatchReader<AgeKey, FlowAges>,
    /// Whether it may have entries.
    is_used: bool,
}

impl AgeTable {
    /// Takes the map out of the object.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = take(ebpf, "FLOW_AGES")?;
        Ok(Self {
            fd: descriptor(&map)?,
            table: HashMap::try_from(map)?,
            reader: BatchReader::new(FlowAges::default()),
            // The previous agent may have left some.
            is_used: true,
        })
    }

    /// What the walk of this number has found, and removes flows that it has not met. `there_are_points`: without points nothing is
    /// added to the table.
    ///
    /// # Errors
    /// The system call's error.
    pub(super) fn read(&mut self, walk: u32, there_are_points: bool) -> anyhow::Result<Vec<(AgeKey, FlowAges)>> {
        if !self.is_used && !there_are_points {
            return Ok(Vec::new());
        }
        let (mut found, mut old) = (Vec::new(), Vec::new());
        self.reader
            .read(self.fd.as_fd(), |key, ages| match ages.walk == walk {
                true => found.push((*key, *ages)),
                false => old.push(*key),
            })
            .context("the ages of open connections cannot be read")?;
        for key in old {
            match self.table.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("the age of connections that have ended cannot be removed"),
            }
        }
        self.is_used = !found.is_empty();
        Ok(found)
    }
}
