//! What upstream connections of points are counted by: their caller and their destination.
//!
//! Programs count in the current generation. A generation that is over does not change any more: its counts are added up, and taken
//! out of the table once the state for the next agent has them.

use super::{
    bpf::BatchReader,
    object::{descriptor, take},
};
use agent_common::{Count, PathCounts, PathKey};
use anyhow::Context;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError},
};
use std::os::fd::{AsFd, OwnedFd};

/// The table of paths.
pub struct PathTable {
    table: HashMap<MapData, PathKey, PathCounts>,
    fd: OwnedFd,
    reader: BatchReader<PathKey, PathCounts>,
    current: Array<MapData, u32>,
    /// The generation in which programs count.
    generation: u32,
    /// The last generation whose counts were read.
    counted: u32,
    /// The last generation whose counts the state for the next agent has.
    kept: u32,
    /// Whether the table may have entries.
    is_used: bool,
}

impl PathTable {
    /// Takes the maps out of the object, and begins a new generation. What was counted before is left out, unless
    /// [`PathTable::recall`] is called.
    ///
    /// # Errors
    /// When one is missing.
    pub(super) fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = take(ebpf, "PATHS")?;
        let current: Array<MapData, u32> = Array::try_from(take(ebpf, "PATH_GENERATION")?)?;
        let before = current.get(&0, 0).context("the generation of paths cannot be read")?;
        let mut paths = Self {
            fd: descriptor(&map)?,
            table: HashMap::try_from(map)?,
            reader: BatchReader::new(PathCounts::ZERO),
            current,
            generation: before,
            counted: before,
            kept: before,
            is_used: true,
        };
        paths.begin()?;
        Ok(paths)
    }

    /// Continues after the last generation that the previous agent has counted.
    pub(super) const fn recall(&mut self, counted: u32) {
        self.counted = counted;
        self.kept = counted;
    }

    /// The last generation whose counts were read.
    pub(super) const fn counted(&self) -> u32 {
        self.counted
    }

    /// The state for the next agent has what was read: it may be taken out of the table.
    pub(super) const fn are_kept(&mut self) {
        self.kept = self.counted;
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let next = self.generation.wrapping_add(1);
        self.current
            .set(0, next, 0)
            .context("the generation of paths cannot be set")?;
        self.generation = next;
        Ok(())
    }

    /// The counts of the generations that are over and have not been read yet. `there_are_points`: without points nothing is added
    /// to the table.
    ///
    /// # Errors
    /// The system call's error.
    pub(super) fn read(&mut self, there_are_points: bool) -> anyhow::Result<Vec<(PathKey, PathCounts)>> {
        if !self.is_used && !there_are_points {
            return Ok(Vec::new());
        }
        let is_after = |a: u32, b: u32| a.wrapping_sub(b).cast_signed() > 0;
        let (kept, counted, generation) = (self.kept, self.counted, self.generation);
        let (mut new, mut old, mut is_used) = (Vec::new(), Vec::new(), false);
        self.reader
            .read(self.fd.as_fd(), |key, counts| {
                is_used = true;
                if !is_after(key.generation, kept) {
                    old.push(*key);
                } else if is_after(key.generation, counted) && is_after(generation, key.generation) {
                    new.push((*key, *counts));
                }
            })
            .context("the paths through points cannot be read")?;
        for key in old {
            match self.table.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("a path that is counted cannot be removed"),
            }
        }
        self.counted = generation.wrapping_sub(1);
        self.is_used = is_used;
        self.begin()?;
        Ok(new)
    }
}
