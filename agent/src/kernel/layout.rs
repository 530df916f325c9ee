//! Identifies sets of maps and sets of programs.

use super::{object::OBJECT, options::Options};
use agent_common::{Control, Field, FlowKey, LAYOUT, Offsets};
use anyhow::{Context, bail};
use aya::maps::MapInfo;
use aya_obj::{EbpfSectionKind, Object};
use std::{collections::BTreeMap, path::Path};

/// A map, as defined in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Definition {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

/// The maps that hold the counters.
pub struct Layout {
    maps: BTreeMap<String, Definition>,
}

impl Layout {
    /// The layout of the object, with the sizes of `options`.
    ///
    /// # Errors
    /// The object cannot be parsed.
    pub fn of(options: &Options) -> anyhow::Result<Self> {
        let object = Object::parse(OBJECT).context("the kernel object cannot be read")?;
        // Maps of constants are frozen together with the programs that they belong to.
        let lasting = object.maps.into_iter().filter(|(_, map)| {
            !matches!(
                map.section_kind(),
                EbpfSectionKind::Rodata | EbpfSectionKind::Data | EbpfSectionKind::Bss
            )
        });
        let maps = lasting.map(|(name, map)| {
            let entries = if name == "FLOWS" {
                options.flows
            } else {
                map.max_entries()
            };
            let definition = Definition {
                kind: map.map_type(),
                key_size: map.key_size(),
                value_size: map.value_size(),
                entries,
                flags: map.map_flags(),
            };
            (name, definition)
        });
        Ok(Self { maps: maps.collect() })
    }

    /// The names of the maps.
    pub fn maps(&self) -> impl Iterator<Item = &str> {
        self.maps.keys().map(String::as_str)
    }

    /// The name of the layout: the same for all agents whose maps have the same definitions and meanings.
    pub fn name(&self) -> String {
        let mut hash = Hash::new();
        hash.add(&LAYOUT.to_ne_bytes());
        hash.add(&(size_of::<FlowKey>() as u64).to_ne_bytes());
        for (name, map) in &self.maps {
            hash.add(name.as_bytes());
            for number in [map.kind, map.key_size, map.value_size, map.entries, map.flags] {
                hash.add(&number.to_ne_bytes());
            }
        }
        format!("{:016x}", hash.0)
    }

    /// Compares a pinned map with its definition: aya accepts any.
    ///
    /// # Errors
    /// The map cannot be opened, or has another definition.
    pub fn check(&self, name: &str, path: &Path) -> anyhow::Result<()> {
        let Some(expected) = self.maps.get(name) else {
            bail!("{} is not a map of this agent", path.display())
        };
        let info = MapInfo::from_pin(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let found = Definition {
            kind: info.map_type().map_or(0, |kind| kind as u32),
            key_size: info.key_size(),
            value_size: info.value_size(),
            entries: info.max_entries(),
            flags: info.map_flags(),
        };
        if found != *expected {
            bail!("{} is {found:?}, and not {expected:?}", path.display());
        }
        Ok(())
    }
}

/// The epoch of programs that are built from this object, these offsets and these options; never 0.
pub fn epoch(options: &Options, offsets: &Offsets) -> u32 {
    let mut hash = Hash::new();
    hash.add(OBJECT);
    for field in Field::ALL {
        hash.add(&offsets.get(*field).to_ne_bytes());
    }
    let settings = &options.settings;
    for number in [
        settings.flows_per_owner,
        settings.sockets,
        settings.failure_events_per_second,
        settings.accept_calls[0],
        settings.accept_calls[1],
        u32::from(options.numbers),
        Control::HandsOver as u32,
    ] {
        hash.add(&number.to_ne_bytes());
    }
    for name in &options.off {
        hash.add(name.as_bytes());
    }
    ((hash.0 >> 32) as u32 ^ hash.0 as u32).max(1)
}

/// 64-bit FNV-1a: the same in every build, unlike the standard library's hash.
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        // Hashing the length keeps adjacent values apart.
        for byte in bytes.len().to_ne_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
