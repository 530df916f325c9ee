//! A place in the BPF file system for what agents leave to each other, and ways to spoil it.

use agent_common::ControlBlock;
use anyhow::{Context as _, Result};
use aya::{
    maps::{Array, HashMap, Map, MapData, loaded_maps},
    programs::loaded_programs,
};
use nix::{
    mount::{MsFlags, mount},
    unistd::{Gid, Uid, chown},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the testbed has mounted a file system that is the tests' own.
const BPF: &str = "/sys/fs/bpf";

/// The directory of the names; removed when the guard goes away.
pub struct Pins(PathBuf);

impl Pins {
    /// One that nobody has used yet. The agent makes it.
    pub fn new() -> Result<Self> {
        let path = Path::new(BPF).join(narrows_testbed::cgroup::unique("narrows-test"));
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a name of our own")
    }

    /// The only layout in there.
    pub fn layout(&self) -> Result<PathBuf> {
        let mut entries = fs::read_dir(&self.0)?;
        Ok(entries.next().context("there is no layout")??.path())
    }

    /// How many layouts there are.
    pub fn layouts(&self) -> usize {
        fs::read_dir(&self.0).map_or(0, Iterator::count)
    }

    /// How many sets of programs there are.
    pub fn epochs(&self) -> usize {
        let layout = self.layout().map(|layout| layout.join("epochs"));
        layout.map_or(0, |epochs| fs::read_dir(epochs).map_or(0, Iterator::count))
    }

    fn change(&self, change: impl FnOnce(&mut ControlBlock)) -> Result<ControlBlock> {
        let map = Map::Array(MapData::from_pin(self.layout()?.join("maps/CONTROL"))?);
        let mut control: Array<MapData, ControlBlock> = Array::try_from(map)?;
        let mut block = control.get(&0, 0)?;
        change(&mut block);
        control.set(0, block, 0)?;
        Ok(block)
    }

    /// The agent has been away for too long.
    pub fn expire(&self) -> Result<()> {
        self.change(|block| block.until_ns = 0).map(|_| ())
    }

    /// Whose programs count.
    pub fn counting_epoch(&self) -> Result<u32> {
        Ok(self.change(|_| ())?.epoch)
    }

    /// Says whose programs count.
    pub fn set_epoch(&self, epoch: u32) -> Result<()> {
        self.change(|block| block.epoch = epoch).map(|_| ())
    }

    /// Gives a name to a map of another kind.
    pub fn pin_another_map(&self, path: &Path) -> Result<()> {
        let other: HashMap<MapData, u32, u32> = HashMap::create(7, 0)?;
        Ok(other.pin(path)?)
    }

    /// Puts something else in the place of the state.
    pub fn damage_state(&self) -> Result<()> {
        let state = self.layout()?.join("state");
        fs::remove_file(&state)?;
        self.pin_another_map(&state)
    }

    /// Gives the directory to a user.
    pub fn give_to(&self, user: u32) -> Result<()> {
        if !self.0.exists() {
            fs::create_dir(&self.0)?;
        }
        Ok(chown(&self.0, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)))?)
    }

    /// Lets nobody write to the file system, or all who could before.
    pub fn read_only(&self, on: bool) -> Result<()> {
        let flags = match on {
            true => MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
            false => MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
        };
        Ok(mount(None::<&str>, BPF, None::<&str>, flags, None::<&str>)?)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _writable = self.read_only(false);
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// How many maps and programs the kernel has, whoever made them.
pub fn kernel_objects() -> (usize, usize) {
    (loaded_maps().count(), loaded_programs().count())
}
